"""Entry points: the command line, the HTTP endpoints and the consumer process."""
