-- name: publish_batch
-- A batch that is published or empty already touches no row.
INSERT INTO offload_batches AS batch (
    batch_id, stream, kind, lower, upper, generation, status, rows, bytes, digest, snapshot_id, kafka_topic,
    kafka_partition, kafka_offset, event_ids, trace_id, epoch, owner, ended, base_rows, base_digest, lateness,
    revision, proof, proved_files, proved_rows, proved_digest
)
VALUES (
    %(batch_id)s, %(stream)s, %(kind)s, %(lower)s, %(upper)s, %(generation)s, 'published', %(rows)s, %(bytes)s,
    %(digest)s, %(snapshot_id)s, %(topic)s, %(partition)s, %(offset)s, ARRAY[%(event_id)s::text], %(trace_id)s,
    %(epoch)s, %(owner)s, clock_timestamp(), %(base_rows)s, %(base_digest)s, %(lateness)s::bigint[],
    %(revision)s, %(proof)s, %(proved_files)s, %(proved_rows)s, %(proved_digest)s
)
ON CONFLICT (batch_id) DO UPDATE
SET status = 'published',
    rows = excluded.rows,
    bytes = excluded.bytes,
    digest = excluded.digest,
    snapshot_id = excluded.snapshot_id,
    kafka_topic = excluded.kafka_topic,
    kafka_partition = excluded.kafka_partition,
    kafka_offset = excluded.kafka_offset,
    event_ids = CASE WHEN excluded.event_ids <@ batch.event_ids THEN batch.event_ids
                     ELSE (batch.event_ids || excluded.event_ids)[cardinality(batch.event_ids) - 98:] END,
    trace_id = excluded.trace_id,
    epoch = excluded.epoch,
    owner = excluded.owner,
    lateness = excluded.lateness,
    proof = excluded.proof,
    proved_files = excluded.proved_files,
    proved_rows = excluded.proved_rows,
    proved_digest = excluded.proved_digest,
    error = NULL,
    ended = clock_timestamp()
WHERE batch.status IN ('writing', 'publishing', 'failed')

-- name: advance_over_rows
UPDATE offload_watermarks
SET watermark = %(upper)s, last_upper = %(upper)s, last_batch_id = %(batch_id)s, updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s AND watermark = %(lower)s

-- name: advance_over_adopted
UPDATE offload_watermarks
SET watermark = %(upper)s, last_upper = %(upper)s, last_batch_id = %(batch_id)s, adopted = %(upper)s,
    updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s AND watermark = start

-- name: note_batch
UPDATE offload_watermarks
SET last_batch_id = %(batch_id)s, updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s

-- name: position
-- Windows that are done end at the watermark at most, so for a window the second part finds nothing, by index.
SELECT
    (SELECT status FROM offload_batches WHERE batch_id = %(batch_id)s) AS status,
    EXISTS (
        SELECT FROM offload_batches
        WHERE stream = %(stream)s
          AND kind IN ('window', 'backfill') AND status IN ('published', 'empty')
          AND upper > %(lower)s AND lower < %(upper)s
    ) AS overlapped

-- name: chain
-- By an index that holds nothing else.
SELECT coalesce(sum(upper - lower), interval '0') AS covered
FROM offload_batches
WHERE stream = %(stream)s AND kind = 'window' AND status IN ('published', 'empty')

-- name: status
SELECT status FROM offload_batches WHERE batch_id = %(batch_id)s
