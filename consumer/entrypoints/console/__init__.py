"""The console: a web page about the streams, served by the consumer."""
