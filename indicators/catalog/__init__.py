"""Standard indicators, offered by name."""
