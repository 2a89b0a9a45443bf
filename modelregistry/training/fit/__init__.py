"""Fitting each part of the estimators."""
