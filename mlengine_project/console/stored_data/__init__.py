"""Data page: stored candles day by day, feed, request budget, backfills."""
