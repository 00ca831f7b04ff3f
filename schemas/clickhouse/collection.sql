-- How the server reaches Kafka. The partitioner is the one that all producers of these events share; a refresh waits
-- no longer than the timeout for a broker that does not answer.
CREATE NAMED COLLECTION $collection AS
    kafka_broker_list = $brokers,
    kafka_group_name = 'icehaul-unused',
    `kafka.partitioner` = 'murmur2_random',
    `kafka.enable_idempotence` = 'true',
    `kafka.message_timeout_ms` = '$timeout_ms'$options
