"""Scores of quantiles, bands and probabilities."""
