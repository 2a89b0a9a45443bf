"""Health, heartbeats, counters and metrics."""
