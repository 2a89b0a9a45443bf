"""The live feed: sockets, the inbox of closed candles, and the supervisor."""
