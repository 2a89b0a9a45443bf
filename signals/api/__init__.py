"""Signals over REST."""
