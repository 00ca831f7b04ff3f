-- name: last
-- Asked only where a group has no committed offset, so that the table is read as a whole once in a while.
SELECT max(kafka_offset) AS last FROM offload_batches
WHERE kafka_topic = %(topic)s AND kafka_partition = %(partition)s AND status IN ('published', 'empty', 'withdrawn')
