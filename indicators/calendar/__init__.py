"""What the calendar knows ahead: local time, holidays, announced releases."""
