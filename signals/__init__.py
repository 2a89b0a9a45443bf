"""What to tell the world about each closed candle: a trading signal or a reasoned refusal."""
