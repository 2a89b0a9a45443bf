"""Rows to learn from: features, outcomes, label overlap, time splits."""
