-- name: known
SELECT batch_id, kind, lower, upper, status, rows, digest, revision, snapshot_id, epoch, withdrawn_by,
       coalesce(ended, started) AS ended
FROM offload_batches
WHERE stream = %(stream)s AND status IN ('published', 'empty', 'withdrawn')
  AND kind <> 'maintenance'

-- name: withdraw
UPDATE offload_batches
SET status = 'withdrawn', withdrawn = clock_timestamp(), withdrawn_by = NULL
WHERE stream = %(stream)s AND batch_id = ANY (%(ids)s) AND status IN ('published', 'empty')

-- name: withdraw_inside
-- What was counted anew is no sum of batches any more.
UPDATE offload_batches
SET status = 'withdrawn', withdrawn = clock_timestamp(), withdrawn_by = %(by)s
WHERE stream = %(stream)s AND status IN ('published', 'empty')
  AND kind IN ('window', 'supplement', 'replace-window', 'backfill')
  AND lower >= %(lower)s AND lower < %(upper)s

-- name: withdraw_above
-- Windows without rows that do not continue what is left.
UPDATE offload_batches
SET status = 'withdrawn', withdrawn = clock_timestamp(), withdrawn_by = NULL
WHERE stream = %(stream)s AND status IN ('published', 'empty') AND kind = 'window' AND lower >= %(watermark)s

-- name: reinstate
UPDATE offload_batches
SET status = 'published', withdrawn = NULL, withdrawn_by = NULL
WHERE stream = %(stream)s AND batch_id = ANY (%(ids)s) AND status = 'withdrawn' AND snapshot_id IS NOT NULL

-- name: give_back
-- Files that a rewind has given to a batch that is not in the table any more.
UPDATE offload_files AS file
SET batch_id = again.batch_id
FROM offload_batches AS again, offload_batches AS now
WHERE file.stream = %(stream)s AND again.batch_id = ANY (%(ids)s) AND again.batch_id = ANY (file.former)
  AND now.batch_id = file.batch_id AND now.status = 'withdrawn'

-- name: rebuild
INSERT INTO offload_batches (
    batch_id, stream, kind, lower, upper, generation, status, rows, bytes, digest, snapshot_id, epoch, owner, ended
)
VALUES (
    %(batch_id)s, %(stream)s, %(kind)s, %(lower)s, %(upper)s, %(generation)s, %(status)s, %(rows)s, %(bytes)s,
    %(digest)s, %(snapshot_id)s, %(epoch)s, %(owner)s, clock_timestamp()
)

-- name: own_prefixes
INSERT INTO offload_attempts (prefix, stream, batch_id, epoch)
SELECT DISTINCT prefix, %(stream)s, %(batch_id)s::uuid, %(epoch)s::bigint FROM unnest(%(prefixes)s::text[]) AS prefix
ON CONFLICT (prefix) DO NOTHING

-- name: own_files
INSERT INTO offload_files (path, prefix, stream, batch_id, unit, rows, bytes, digest, kept, epoch)
SELECT path, prefix, %(stream)s, %(batch_id)s::uuid, unit, rows, bytes, digest, false, %(epoch)s::bigint
FROM unnest(
    %(paths)s::text[], %(prefixes)s::text[], %(units)s::integer[], %(rows)s::bigint[], %(bytes)s::bigint[],
    %(digests)s::text[]
) AS file (path, prefix, unit, rows, bytes, digest)
ON CONFLICT (path) DO UPDATE
SET batch_id = excluded.batch_id, unit = excluded.unit, rows = excluded.rows, bytes = excluded.bytes,
    digest = excluded.digest, kept = false, epoch = excluded.epoch

-- name: repaired
UPDATE offload_watermarks
SET watermark = %(watermark)s,
    last_upper = %(last_upper)s,
    last_batch_id = %(last_batch_id)s,
    generation = %(generation)s,
    source_uuid = %(source_uuid)s,
    target_uuid = %(target_uuid)s,
    adopted = %(adopted)s,
    updated = clock_timestamp()
WHERE stream = %(stream)s

-- name: reopen
-- History that is not in the table any more is backfilled again; what was cancelled stays so.
UPDATE offload_backfills
SET state = 'open', ended = NULL, position = least(position, greatest(lower, %(lower)s::timestamptz)),
    updated = clock_timestamp()
WHERE stream = %(stream)s AND state IN ('open', 'done') AND lower < %(upper)s AND upper > %(lower)s

-- name: forget_partitions
DELETE FROM offload_partitions WHERE stream = %(stream)s

-- name: forget_differences
DELETE FROM offload_differences WHERE stream = %(stream)s
