"""The live feed: sockets, closed candles, halts, quarantine."""
