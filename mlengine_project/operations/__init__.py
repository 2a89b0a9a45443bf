"""Operations: jobs, heartbeats, health, metrics and logs."""
