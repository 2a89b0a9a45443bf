"""The sealed log of signals: written, read, archived."""
