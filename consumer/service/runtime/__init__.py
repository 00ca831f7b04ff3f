"""The consumer-group runtime: what is polled, in which order it is handled, and when it is acknowledged."""
