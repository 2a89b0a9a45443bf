"""How dates are written, by language; Django looks here (FORMAT_MODULE_PATH)."""
