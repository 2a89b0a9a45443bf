"""Predictions of the champions for each closed candle, and their scores."""
