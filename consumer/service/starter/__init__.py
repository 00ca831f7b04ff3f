"""A first configuration, drafted from what a live ClickHouse database tells of itself."""
