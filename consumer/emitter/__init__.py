"""The emitter: watches ClickHouse partitions and the clock, and sends events to Kafka."""
