-- What an owner ran under its lease in the first version of the ledger, word for word: processes that old may still live.

-- name: register
INSERT INTO offload_watermarks (stream) VALUES (%(stream)s) ON CONFLICT (stream) DO NOTHING

-- name: claim
UPDATE offload_watermarks
SET owner = %(owner)s,
    lease_expires = clock_timestamp() + %(ttl)s,
    epoch = epoch + 1,
    updated = clock_timestamp()
WHERE stream = %(stream)s
  AND (owner IS NULL OR owner = %(owner)s OR lease_expires <= clock_timestamp())
RETURNING stream, watermark, last_upper, generation, source_uuid, target_uuid, epoch, owner, lease_expires, state,
          halt_reason, halt_remedy, updated

-- name: lock
SELECT stream, watermark, last_upper, generation, source_uuid, target_uuid, epoch, owner, lease_expires, state,
       halt_reason, halt_remedy, updated
FROM offload_watermarks
WHERE stream = %(stream)s
FOR UPDATE

-- name: begin
-- An attempt at a batch that is published or empty already touches no row.
INSERT INTO offload_batches AS batch (
    batch_id, stream, kind, lower, upper, generation, status, kafka_topic, kafka_partition, kafka_offset,
    event_ids, trace_id, epoch, owner
)
VALUES (
    %(batch_id)s, %(stream)s, %(kind)s, %(lower)s, %(upper)s, %(generation)s, 'writing', %(topic)s, %(partition)s,
    %(offset)s, ARRAY[%(event_id)s::text], %(trace_id)s, %(epoch)s, %(owner)s
)
ON CONFLICT (batch_id) DO UPDATE
SET status = 'writing',
    kafka_topic = excluded.kafka_topic,
    kafka_partition = excluded.kafka_partition,
    kafka_offset = excluded.kafka_offset,
    event_ids = CASE WHEN excluded.event_ids <@ batch.event_ids THEN batch.event_ids
                     ELSE batch.event_ids || excluded.event_ids END,
    trace_id = excluded.trace_id,
    epoch = excluded.epoch,
    owner = excluded.owner,
    attempts = batch.attempts + 1,
    error = NULL,
    started = clock_timestamp(),
    ended = NULL
WHERE batch.status IN ('writing', 'failed')

-- name: renew
UPDATE offload_watermarks
SET lease_expires = clock_timestamp() + %(ttl)s
WHERE stream = %(stream)s AND epoch = %(epoch)s AND owner = %(owner)s

-- name: release
UPDATE offload_watermarks
SET owner = NULL, lease_expires = NULL, updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s AND owner = %(owner)s

-- name: fail
UPDATE offload_batches
SET status = 'failed', error = %(error)s, ended = clock_timestamp()
WHERE batch_id = %(batch_id)s AND stream = %(stream)s AND epoch = %(epoch)s AND status = 'writing'

-- name: halt_at_epoch
UPDATE offload_watermarks
SET state = 'halted', halt_reason = %(reason)s, halt_remedy = %(remedy)s, updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s

-- name: advance_over_rows
UPDATE offload_watermarks
SET watermark = %(upper)s, last_upper = %(upper)s, updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s AND watermark = %(lower)s
