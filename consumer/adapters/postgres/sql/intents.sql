-- name: publishing
-- The batch is about to be committed to a catalog outside of this database; an adopted one was never begun.
INSERT INTO offload_batches AS batch (
    batch_id, stream, kind, lower, upper, generation, status, kafka_topic, kafka_partition, kafka_offset,
    event_ids, trace_id, epoch, owner, base_rows, base_digest, revision
)
VALUES (
    %(batch_id)s, %(stream)s, %(kind)s, %(lower)s, %(upper)s, %(generation)s, 'publishing', %(topic)s, %(partition)s,
    %(offset)s, ARRAY[%(event_id)s::text], %(trace_id)s, %(epoch)s, %(owner)s, %(base_rows)s, %(base_digest)s,
    %(revision)s
)
ON CONFLICT (batch_id) DO UPDATE
SET status = 'publishing', epoch = excluded.epoch, owner = excluded.owner, error = NULL, ended = NULL
WHERE batch.status IN ('writing', 'publishing', 'failed')

-- name: intend
INSERT INTO offload_publishes (snapshot_id, stream, batch_id, base_snapshot_id, epoch, landing)
VALUES (%(snapshot_id)s, %(stream)s, %(batch_id)s, %(base_snapshot_id)s, %(epoch)s, %(landing)s)
ON CONFLICT (snapshot_id) DO NOTHING

-- name: unsettled
SELECT snapshot_id, stream, batch_id, base_snapshot_id, landing
FROM offload_publishes
WHERE stream = ANY (%(streams)s)
ORDER BY recorded, snapshot_id

-- name: settle
DELETE FROM offload_publishes WHERE stream = %(stream)s AND snapshot_id = ANY (%(snapshot_ids)s)

-- name: not_landed
-- A batch of which no commit is left that may land.
UPDATE offload_batches AS batch
SET status = 'failed', error = %(error)s, ended = clock_timestamp()
WHERE stream = %(stream)s AND status = 'publishing'
  AND NOT EXISTS (SELECT FROM offload_publishes AS other WHERE other.batch_id = batch.batch_id)
