"""The cold tier: Iceberg tables in a Postgres catalog, and the one committer that makes files visible."""
