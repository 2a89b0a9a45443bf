"""Keeping the engine running: jobs, heartbeats, health, metrics and logs."""
