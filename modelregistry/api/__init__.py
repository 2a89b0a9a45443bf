"""Model versions and their reports over REST."""
