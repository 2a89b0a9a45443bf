"""The whole engine in one process, for `up`."""
