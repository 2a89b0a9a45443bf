"""Markets, candles and indicators over REST."""
