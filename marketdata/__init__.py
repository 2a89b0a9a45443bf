"""Where candles come from and where they are kept."""
