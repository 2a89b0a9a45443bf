"""Access control: API keys, scopes, tickets and rate limits."""
