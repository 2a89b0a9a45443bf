"""The beat schedule and the broker of its tasks."""
