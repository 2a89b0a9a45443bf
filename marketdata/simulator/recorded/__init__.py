"""Recorded candles, replayed."""
