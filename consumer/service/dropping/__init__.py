"""Dropping partitions from the hot tier once the cold tier is proved to hold their rows."""
