"""Candles in the database and in files beside it, exact to the last digit."""
