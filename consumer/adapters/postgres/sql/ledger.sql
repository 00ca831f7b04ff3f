-- name: register
INSERT INTO offload_watermarks (stream, watermark, start) VALUES (%(stream)s, %(start)s, %(start)s)
ON CONFLICT (stream) DO NOTHING

-- name: start
-- A stream that nobody has claimed yet, but that was halted: it starts where it is configured to.
UPDATE offload_watermarks
SET watermark = %(start)s, start = %(start)s
WHERE stream = %(stream)s AND epoch = 0 AND start <> %(start)s

-- name: read
SELECT stream, watermark, last_upper, generation, source_uuid, target_uuid, epoch, owner, lease_expires, state,
       halt_reason, halt_remedy, updated, last_batch_id, start, last_backfill_id, adopted, schemas
FROM offload_watermarks
WHERE stream = ANY (%(streams)s)

-- name: final_until
-- A rewind of which the commit to a catalog outside of this database is not settled may have landed.
SELECT stream, LEAST(watermark, (
    SELECT min((landing #>> '{batch,rewind,watermark}')::timestamptz)
    FROM offload_publishes AS open
    WHERE open.stream = known.stream
)) AS until
FROM offload_watermarks AS known
WHERE stream = ANY (%(streams)s)

-- name: lock
SELECT stream, watermark, last_upper, generation, source_uuid, target_uuid, epoch, owner, lease_expires, state,
       halt_reason, halt_remedy, updated, last_batch_id, start, last_backfill_id, adopted, schemas
FROM offload_watermarks
WHERE stream = %(stream)s
FOR UPDATE

-- name: claim
UPDATE offload_watermarks
SET owner = %(owner)s,
    lease_expires = clock_timestamp() + %(ttl)s,
    epoch = epoch + 1,
    updated = clock_timestamp()
WHERE stream = %(stream)s
  AND (owner IS NULL OR owner = %(owner)s OR lease_expires <= clock_timestamp())
RETURNING stream, watermark, last_upper, generation, source_uuid, target_uuid, epoch, owner, lease_expires, state,
          halt_reason, halt_remedy, updated, last_batch_id, start, last_backfill_id, adopted, schemas

-- name: standing
-- What a claim finds besides its row. A statement of its own, after it: a claim that has waited for a publish that was
-- under way sees its row as that has left it, and all other rows as they were before.
SELECT EXISTS (SELECT FROM offload_backfills AS open WHERE open.stream = known.stream AND open.state = 'open')
           AS backfilling,
       watermark = start OR EXISTS (
           SELECT FROM offload_batches AS done
           WHERE done.stream = known.stream AND done.upper = known.watermark
             AND done.kind = 'window' AND done.status IN ('published', 'empty')
       ) AS continuous
FROM offload_watermarks AS known
WHERE stream = %(stream)s

-- name: renew
UPDATE offload_watermarks
SET lease_expires = clock_timestamp() + %(ttl)s
WHERE stream = %(stream)s AND epoch = %(epoch)s AND owner = %(owner)s

-- name: release
UPDATE offload_watermarks
SET owner = NULL, lease_expires = NULL, updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s AND owner = %(owner)s

-- name: bind
UPDATE offload_watermarks
SET source_uuid = %(source_uuid)s, target_uuid = %(target_uuid)s,
    schemas = coalesce(%(schemas)s::jsonb, schemas), updated = clock_timestamp()
WHERE stream = %(stream)s

-- name: begin
-- An attempt at a batch that is published or empty already touches no row. Of the events on whose behalf it was
-- attempted the latest hundred are kept: a batch that fails for weeks meets any number of them.
INSERT INTO offload_batches AS batch (
    batch_id, stream, kind, lower, upper, generation, status, kafka_topic, kafka_partition, kafka_offset,
    event_ids, trace_id, epoch, owner, base_rows, base_digest, revision
)
VALUES (
    %(batch_id)s, %(stream)s, %(kind)s, %(lower)s, %(upper)s, %(generation)s, 'writing', %(topic)s, %(partition)s,
    %(offset)s, ARRAY[%(event_id)s::text], %(trace_id)s, %(epoch)s, %(owner)s, %(base_rows)s, %(base_digest)s,
    %(revision)s
)
ON CONFLICT (batch_id) DO UPDATE
SET status = 'writing',
    kafka_topic = excluded.kafka_topic,
    kafka_partition = excluded.kafka_partition,
    kafka_offset = excluded.kafka_offset,
    event_ids = CASE WHEN excluded.event_ids <@ batch.event_ids THEN batch.event_ids
                     ELSE (batch.event_ids || excluded.event_ids)[cardinality(batch.event_ids) - 98:] END,
    trace_id = excluded.trace_id,
    epoch = excluded.epoch,
    owner = excluded.owner,
    attempts = batch.attempts + 1,
    error = NULL,
    started = clock_timestamp(),
    ended = NULL
WHERE batch.status IN ('writing', 'publishing', 'failed')

-- name: stage_prefix
INSERT INTO offload_attempts (prefix, stream, batch_id, epoch)
VALUES (%(prefix)s, %(stream)s, %(batch_id)s, %(epoch)s)
ON CONFLICT (prefix) DO UPDATE SET epoch = excluded.epoch

-- name: stage_files
-- A file that is known already is taken for the same one only if everything else agrees, too.
INSERT INTO offload_files AS file (path, prefix, stream, batch_id, unit, rows, bytes, digest, kept, epoch)
SELECT path, %(prefix)s, %(stream)s, %(batch_id)s, unit, rows, bytes, digest, kept, %(epoch)s
FROM unnest(
    %(paths)s::text[], %(units)s::integer[], %(rows)s::bigint[], %(bytes)s::bigint[], %(digests)s::text[],
    %(kept)s::boolean[]
) AS written (path, unit, rows, bytes, digest, kept)
ON CONFLICT (path) DO UPDATE
SET epoch = excluded.epoch
WHERE file.prefix = excluded.prefix AND file.batch_id = excluded.batch_id AND file.rows = excluded.rows
  AND file.bytes = excluded.bytes AND file.digest = excluded.digest

-- name: extend_empty
-- An idle stream would add a row with every tick: an empty window that continues one is added to it instead.
UPDATE offload_batches
SET batch_id = %(batch_id)s,
    upper = %(upper)s,
    kafka_topic = %(topic)s,
    kafka_partition = %(partition)s,
    kafka_offset = %(offset)s,
    event_ids = ARRAY[%(event_id)s::text],
    trace_id = %(trace_id)s,
    epoch = %(epoch)s,
    owner = %(owner)s,
    ended = clock_timestamp()
WHERE stream = %(stream)s AND generation = %(generation)s AND upper = %(lower)s
  AND kind = 'window' AND status = 'empty'
  AND NOT EXISTS (SELECT FROM offload_batches AS known WHERE known.batch_id = %(batch_id)s)

-- name: add_empty
-- Touches no row where extend_empty has given one this batch's id.
INSERT INTO offload_batches AS batch (
    batch_id, stream, kind, lower, upper, generation, status, kafka_topic, kafka_partition, kafka_offset,
    event_ids, trace_id, epoch, owner, ended
)
VALUES (
    %(batch_id)s, %(stream)s, %(kind)s, %(lower)s, %(upper)s, %(generation)s, 'empty', %(topic)s, %(partition)s,
    %(offset)s, ARRAY[%(event_id)s::text], %(trace_id)s, %(epoch)s, %(owner)s, clock_timestamp()
)
ON CONFLICT (batch_id) DO UPDATE
SET status = 'empty',
    rows = 0,
    bytes = 0,
    digest = NULL,
    kafka_topic = excluded.kafka_topic,
    kafka_partition = excluded.kafka_partition,
    kafka_offset = excluded.kafka_offset,
    event_ids = CASE WHEN excluded.event_ids <@ batch.event_ids THEN batch.event_ids
                     ELSE (batch.event_ids || excluded.event_ids)[cardinality(batch.event_ids) - 98:] END,
    trace_id = excluded.trace_id,
    epoch = excluded.epoch,
    owner = excluded.owner,
    error = NULL,
    ended = clock_timestamp()
WHERE batch.status IN ('writing', 'failed')

-- name: advance
UPDATE offload_watermarks
SET watermark = %(upper)s, updated = clock_timestamp()
WHERE stream = %(stream)s AND watermark = %(lower)s

-- name: fail
UPDATE offload_batches
SET status = 'failed', error = %(error)s, ended = clock_timestamp()
WHERE batch_id = %(batch_id)s AND stream = %(stream)s AND epoch = %(epoch)s AND status = 'writing'

-- name: batch
SELECT batch_id, stream, kind, lower, upper, generation, status, rows, bytes, digest, snapshot_id, attempts, error,
       trace_id, started, ended, proof, proved_files, proved_rows, proved_digest
FROM offload_batches
WHERE stream = %(stream)s AND batch_id = %(batch_id)s

-- name: batches
SELECT batch_id, stream, kind, lower, upper, generation, status, rows, bytes, digest, snapshot_id, attempts, error,
       trace_id, started, ended, proof, proved_files, proved_rows, proved_digest
FROM offload_batches
WHERE stream = %(stream)s
ORDER BY started DESC, upper DESC
LIMIT %(limit)s

-- name: halt
INSERT INTO offload_watermarks (stream, state, halt_reason, halt_remedy)
VALUES (%(stream)s, 'halted', %(reason)s, %(remedy)s)
ON CONFLICT (stream) DO UPDATE
SET state = 'halted', halt_reason = excluded.halt_reason, halt_remedy = excluded.halt_remedy,
    updated = clock_timestamp()

-- name: halt_at_epoch
UPDATE offload_watermarks
SET state = 'halted', halt_reason = %(reason)s, halt_remedy = %(remedy)s, updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s

-- name: pause
-- Whoever holds the lease works at an epoch that is over.
UPDATE offload_watermarks
SET state = 'halted', halt_reason = %(reason)s, halt_remedy = %(remedy)s, epoch = epoch + 1, owner = NULL,
    lease_expires = NULL, updated = clock_timestamp()
WHERE stream = %(stream)s

-- name: activate
UPDATE offload_watermarks
SET state = 'active', halt_reason = NULL, halt_remedy = NULL, updated = clock_timestamp()
WHERE stream = %(stream)s

-- name: unpark
WITH taken AS (
    DELETE FROM offload_parked WHERE stream = %(stream)s RETURNING number, stream, event_id, event
)
INSERT INTO offload_outbox (stream, event_id, event)
SELECT stream, event_id, event FROM taken ORDER BY number

-- name: park
INSERT INTO offload_parked (stream, event_id, event) VALUES (%(stream)s, %(event_id)s, %(event)s)
ON CONFLICT (stream, event_id) DO NOTHING

-- name: parked
SELECT event FROM offload_parked WHERE stream = %(stream)s ORDER BY number

-- name: send
INSERT INTO offload_outbox (stream, event_id, event) VALUES (%(stream)s, %(event_id)s, %(event)s)

-- name: outbox
-- Relays that run at once skip each other's messages; one that dies leaves its messages to the others.
WITH chosen AS (
    SELECT number FROM offload_outbox
    WHERE claimed_until <= clock_timestamp()
    ORDER BY number
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE offload_outbox
    SET claimed_until = clock_timestamp() + %(claim)s
    FROM chosen
    WHERE offload_outbox.number = chosen.number
    RETURNING offload_outbox.number, offload_outbox.event
)
SELECT number, event FROM claimed ORDER BY number

-- name: relayed
DELETE FROM offload_outbox WHERE number = ANY (%(numbers)s)
