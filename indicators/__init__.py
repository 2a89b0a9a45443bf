"""Pure numbers computed from candles. Knows no Django, no database and no clock."""
