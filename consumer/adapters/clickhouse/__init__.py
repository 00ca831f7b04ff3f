"""The hot tier: ClickHouse over its HTTP interface."""
