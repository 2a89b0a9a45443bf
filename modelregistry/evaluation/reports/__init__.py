"""Reports of a version: numbers and tables."""
