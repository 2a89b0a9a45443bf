"""Invented candles."""
