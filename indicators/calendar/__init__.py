"""Calendar events that are known in advance: local time, holidays, announced releases."""
