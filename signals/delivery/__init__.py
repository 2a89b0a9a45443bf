"""From the outbox to Redis and websockets."""
