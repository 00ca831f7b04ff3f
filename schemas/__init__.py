"""Contracts as files: event schemas, Postgres migrations, ClickHouse SQL, configuration schema."""
