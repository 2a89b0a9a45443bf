"""Candidates that answer silently beside the champion."""
