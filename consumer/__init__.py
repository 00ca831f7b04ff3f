"""icehaul: event-driven, exactly-once offload of ClickHouse tables into Apache Iceberg."""

__version__ = "0.1.0"
