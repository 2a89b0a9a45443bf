"""What the champions said about each closed candle, and whether it was right."""
