"""Track record page: what was promised beside what came, and its files."""
