"""Searching for better settings, with every trial counted."""
