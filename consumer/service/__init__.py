"""Use cases: what the service does, in terms of the ports."""
