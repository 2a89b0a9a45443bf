"""Reports of a version: numbers, tables and figures."""
