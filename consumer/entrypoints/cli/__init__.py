"""The command line: `icehaul`."""
