"""Corrections from the latest outcomes, while a version is in use."""
