-- name: of_snapshot
SELECT batch_id, stream, kind, status, lower, upper, rows, snapshot_id, kafka_topic, kafka_partition, kafka_offset,
       event_ids, trace_id, started, ended
FROM offload_batches
WHERE snapshot_id = %(snapshot_id)s
ORDER BY started, lower

-- name: of_batch
SELECT batch_id, stream, kind, status, lower, upper, rows, snapshot_id, kafka_topic, kafka_partition, kafka_offset,
       event_ids, trace_id, started, ended
FROM offload_batches
WHERE batch_id = %(batch_id)s

-- name: of_event
SELECT batch_id, stream, kind, status, lower, upper, rows, snapshot_id, kafka_topic, kafka_partition, kafka_offset,
       event_ids, trace_id, started, ended
FROM offload_batches
WHERE %(event_id)s::text = ANY (event_ids)
ORDER BY started, lower
