-- name: now
SELECT clock_timestamp() AS now

-- name: latest
-- One descent of the index for each stream, however many batches it has.
SELECT batch.batch_id, batch.stream, batch.kind, batch.lower, batch.upper, batch.generation, batch.status, batch.rows,
       batch.bytes, batch.digest, batch.snapshot_id, batch.attempts, batch.error, batch.trace_id, batch.started,
       batch.ended, batch.proof, batch.proved_files, batch.proved_rows, batch.proved_digest
FROM unnest(%(streams)s::text[]) AS wanted (stream)
CROSS JOIN LATERAL (
    SELECT *
    FROM offload_batches AS begun
    WHERE begun.stream = wanted.stream
    ORDER BY begun.started DESC
    LIMIT 1
) AS batch

-- name: open
-- What stands open for each stream, counted up to a limit.
SELECT wanted.stream,
       (SELECT count(*)
        FROM (SELECT FROM offload_parked AS parked WHERE parked.stream = wanted.stream LIMIT %(most)s) AS counted) AS parked,
       (SELECT count(*)
        FROM (SELECT FROM offload_findings AS finding
              WHERE finding.stream = wanted.stream AND finding.accepted IS NULL LIMIT %(most)s) AS counted) AS findings,
       (SELECT count(*)
        FROM (SELECT FROM offload_backfills AS backfill
              WHERE backfill.stream = wanted.stream AND backfill.state = 'open' LIMIT %(most)s) AS counted) AS backfills
FROM unnest(%(streams)s::text[]) AS wanted (stream)

-- name: findings
SELECT kind, lower, upper, rows, detail, false AS accepted
FROM offload_findings
WHERE stream = %(stream)s AND accepted IS NULL
ORDER BY lower, kind
LIMIT %(limit)s

-- name: page
-- The first condition lets the index say where to begin; the second one settles what was begun at the same instant.
SELECT batch_id, stream, kind, lower, upper, generation, status, rows, bytes, digest, snapshot_id, attempts, error,
       trace_id, started, ended, proof, proved_files, proved_rows, proved_digest
FROM offload_batches
WHERE stream = %(stream)s AND started <= %(started)s AND (started, batch_id) < (%(started)s, %(batch_id)s)
ORDER BY started DESC, batch_id DESC
LIMIT %(limit)s

-- name: batch
SELECT batch_id, stream, kind, lower, upper, generation, status, rows, bytes, digest, snapshot_id, attempts, error,
       trace_id, started, ended, proof, proved_files, proved_rows, proved_digest, owner, epoch, event_ids, kafka_topic, kafka_partition, kafka_offset,
       (SELECT count(*)
        FROM (SELECT FROM offload_files AS file WHERE file.batch_id = offload_batches.batch_id LIMIT %(most)s) AS counted)
           AS files
FROM offload_batches
WHERE batch_id = %(batch_id)s

-- name: files
-- Found by the batch, then ordered: in the order of the paths, the files of all other batches might be gone through first.
WITH written AS MATERIALIZED (
    SELECT path, prefix, unit, rows, bytes, digest, created FROM offload_files WHERE batch_id = %(batch_id)s
)
SELECT path, prefix, unit, rows, bytes, digest, created
FROM written
WHERE path > %(after)s
ORDER BY path
LIMIT %(limit)s
