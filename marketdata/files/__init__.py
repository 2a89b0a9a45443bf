"""Candle files: reading every accepted form, importing, exporting."""
