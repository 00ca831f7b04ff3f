-- name: begin
INSERT INTO offload_drops
    (drop_id, stream, partition_id, quarantine, lower, upper, content_id, rows, bytes, state, requested_by, epoch)
VALUES (
    %(drop)s, %(stream)s, %(partition)s, %(quarantine)s, %(lower)s, %(upper)s, %(content_id)s, %(rows)s, %(bytes)s,
    'moving', %(requested_by)s, %(epoch)s
)
ON CONFLICT (drop_id) DO NOTHING

-- name: verified
UPDATE offload_drops
SET state = 'verified', rows = %(rows)s, digest = %(digest)s, snapshot_id = %(snapshot_id)s, epoch = %(epoch)s
WHERE drop_id = %(drop)s AND state IN ('moving', 'verified')

-- name: end
UPDATE offload_drops
SET state = %(state)s, reason = %(reason)s, epoch = %(epoch)s, ended = clock_timestamp()
WHERE drop_id = %(drop)s AND ended IS NULL

-- name: open
SELECT drop_id, stream, partition_id, quarantine, lower, upper, content_id, rows, bytes, digest, snapshot_id, state,
    requested_by
FROM offload_drops
WHERE stream = %(stream)s AND ended IS NULL
ORDER BY started

-- name: gone
SELECT drop_id, stream, partition_id, quarantine, lower, upper, content_id, rows, bytes, digest, snapshot_id, state,
    requested_by
FROM offload_drops
WHERE stream = %(stream)s AND state = 'dropped'
ORDER BY started

-- name: restored
UPDATE offload_drops
SET state = 'returned', reason = %(reason)s, epoch = %(epoch)s, ended = clock_timestamp()
WHERE stream = %(stream)s AND state = 'dropped' AND drop_id = ANY (%(drops)s::uuid[])

-- name: windows
-- Where rows are not in the source, or may not be: what was dropped, and what is on its way.
SELECT lower, upper FROM offload_drops WHERE stream = %(stream)s AND (state = 'dropped' OR ended IS NULL)

-- name: dropped
SELECT lower, upper, rows, digest FROM offload_drops WHERE stream = %(stream)s AND state = 'dropped'
