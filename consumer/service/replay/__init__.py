"""Replaying a stretch of time: what is in the table is recognised, what is not is written."""
