"""Rewinding a stream: its watermark is set back, and what was offloaded above it is taken out, to be written again."""
