"""The sealed log of predictions: written, read, archived."""
