"""Verifying: both tiers compared slice by slice, several queries at once, and the rows that differ."""
