-- name: found
SELECT path, clock_timestamp() - found AS age
FROM offload_superfluous
WHERE stream = %(stream)s

-- name: note
-- What is noted already keeps its instant.
INSERT INTO offload_superfluous (stream, path, bytes)
SELECT %(stream)s, path, bytes FROM unnest(%(paths)s::text[], %(bytes)s::bigint[]) AS noted (path, bytes)
ON CONFLICT (stream, path) DO NOTHING

-- name: forget
DELETE FROM offload_superfluous WHERE stream = %(stream)s AND path = ANY (%(paths)s::text[])

-- name: close_attempts
-- Their owners have lost the lease: the fence refuses to publish what they have written.
UPDATE offload_batches
SET status = 'failed', error = %(error)s, ended = clock_timestamp()
WHERE stream = %(stream)s AND status = 'writing' AND epoch < %(epoch)s
