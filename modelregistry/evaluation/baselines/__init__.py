"""Reference baselines a version is compared with."""
