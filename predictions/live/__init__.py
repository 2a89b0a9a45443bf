"""State that the live path keeps between candles."""
