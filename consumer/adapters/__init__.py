"""Adapters: the ports on real Kafka, ClickHouse, Postgres, Iceberg, Spark and OpenTelemetry."""
