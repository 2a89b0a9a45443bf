"""Health, metrics and jobs over REST."""
