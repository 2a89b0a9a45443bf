"""The exchange over REST and websockets: requests, limits, hosts, parsing."""
