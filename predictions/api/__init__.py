"""Predictions, brackets and touches over REST."""
