"""Backfills: ranges of history that are offloaded beside a stream's live windows."""
