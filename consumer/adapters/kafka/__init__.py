"""Kafka: the event codec, producer, dead letters, topics, the outbox relay and the consumer group."""
