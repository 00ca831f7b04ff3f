"""Restoring rows of the cold tier into ClickHouse tables, and proving that they are the same."""
