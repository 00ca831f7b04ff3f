-- name: partitions
SELECT partition_id, rows, min_block, max_block, data_version, first, last, pending, watermark, exact
FROM offload_partitions
WHERE stream = %(stream)s

-- name: done
-- What is done of a stretch of time: the windows that overlap it, and all supplements and replacements of these windows.
-- A supplement may end before its window does, which has grown since if it was empty.
WITH windows AS (
    SELECT kind, lower, upper, rows, digest, revision
    FROM offload_batches
    WHERE stream = %(stream)s AND status IN ('published', 'empty') AND kind IN ('window', 'backfill')
      AND lower < %(upper)s AND upper > %(lower)s
)
SELECT kind, lower, upper, rows, digest, revision FROM windows
UNION ALL
SELECT kind, lower, upper, rows, digest, revision
FROM offload_batches
WHERE stream = %(stream)s AND status = 'published' AND kind IN ('supplement', 'replace-window')
  AND lower >= (SELECT min(lower) FROM windows) AND lower < (SELECT max(upper) FROM windows)

-- name: differences
SELECT lower, rows, digest
FROM offload_differences
WHERE stream = %(stream)s AND lower IN (
    SELECT lower
    FROM offload_batches
    WHERE stream = %(stream)s AND status IN ('published', 'empty') AND kind IN ('window', 'backfill')
      AND lower < %(upper)s AND upper > %(lower)s
)

-- name: findings
SELECT kind, lower, upper, rows, detail, accepted IS NOT NULL AS accepted
FROM offload_findings
WHERE stream = %(stream)s
ORDER BY lower, kind

-- name: compared
INSERT INTO offload_partitions AS known (
    stream, partition_id, rows, min_block, max_block, data_version, first, last, pending, watermark, exact
)
SELECT %(stream)s, compared.*
FROM unnest(
    %(partition_ids)s::text[], %(rows)s::bigint[], %(min_blocks)s::bigint[], %(max_blocks)s::bigint[],
    %(data_versions)s::bigint[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[], %(pending)s::bigint[],
    %(watermarks)s::timestamptz[], %(exact)s::boolean[]
) AS compared
ON CONFLICT (stream, partition_id) DO UPDATE
SET rows = excluded.rows,
    min_block = excluded.min_block,
    max_block = excluded.max_block,
    data_version = excluded.data_version,
    first = excluded.first,
    last = excluded.last,
    pending = excluded.pending,
    watermark = excluded.watermark,
    exact = excluded.exact,
    compared = clock_timestamp()

-- name: gone
DELETE FROM offload_partitions WHERE stream = %(stream)s AND partition_id = ANY (%(gone)s)

-- name: differs
INSERT INTO offload_differences (stream, lower, rows, digest)
VALUES (%(stream)s, %(lower)s, %(rows)s, %(digest)s)
ON CONFLICT (stream, lower) DO UPDATE
SET rows = excluded.rows, digest = excluded.digest, compared = clock_timestamp()

-- name: found
-- What was accepted and is found again with other rows, is open again.
INSERT INTO offload_findings AS known (stream, kind, lower, upper, rows, detail)
VALUES (%(stream)s, %(kind)s, %(lower)s, %(upper)s, %(rows)s, %(detail)s)
ON CONFLICT (stream, kind, lower) DO UPDATE
SET upper = excluded.upper,
    detail = excluded.detail,
    updated = clock_timestamp(),
    accepted = CASE WHEN known.rows = excluded.rows THEN known.accepted END,
    rows = excluded.rows

-- name: forget_difference
DELETE FROM offload_differences WHERE stream = %(stream)s AND lower >= %(lower)s AND lower < %(upper)s

-- name: forget_findings
-- A gap is about rows that were never read: replacing those that were does not settle it.
DELETE FROM offload_findings
WHERE stream = %(stream)s AND lower >= %(lower)s AND lower < %(upper)s AND kind IN ('changed', 'deleted', 'too-late')

-- name: cut_off_differences
DELETE FROM offload_differences
WHERE stream = %(stream)s AND lower >= %(since)s AND lower <> ALL (%(kept)s::timestamptz[])

-- name: cut_off_findings
-- A gap is about rows that were never read: they are still missing when the others are read again.
DELETE FROM offload_findings
WHERE stream = %(stream)s AND lower >= %(since)s AND kind IN ('changed', 'deleted', 'too-late')
  AND NOT (lower = %(since)s AND kind = ANY (%(kinds)s::text[]))

-- name: accept
UPDATE offload_findings SET accepted = clock_timestamp() WHERE stream = %(stream)s AND accepted IS NULL

-- name: settle_pending
-- Rows that had gone before they were read are not waited for any longer.
UPDATE offload_partitions SET pending = 0 WHERE stream = %(stream)s

-- name: lateness
SELECT lateness
FROM offload_batches
WHERE stream = %(stream)s AND status = 'published' AND lateness IS NOT NULL
