"""Which candles are stored, missing or absent, and how gaps are filled."""
