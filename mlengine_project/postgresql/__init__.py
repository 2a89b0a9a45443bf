"""Database backend: Django's PostgreSQL, with every table of the engine in a schema of its own."""
