"""Who may ask: API keys, scopes, tickets and limits."""
