"""Outcomes of predictions, and the track record made of them."""
