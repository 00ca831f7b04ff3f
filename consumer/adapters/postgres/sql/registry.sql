-- name: known
SELECT stream, watermark, start, state, owner, lease_expires, removed
FROM offload_watermarks
ORDER BY removed IS NOT NULL, stream

-- name: counts
SELECT
    (SELECT count(*) FROM offload_batches WHERE stream = %(stream)s) AS batches,
    (SELECT count(*) FROM offload_files WHERE stream = %(stream)s) AS files,
    (SELECT count(*) FROM offload_parked WHERE stream = %(stream)s) AS parked,
    (SELECT count(*) FROM offload_outbox WHERE stream = %(stream)s) AS outbox,
    (SELECT count(*) FROM offload_findings WHERE stream = %(stream)s) AS findings,
    (SELECT count(*) FROM offload_backfills WHERE stream = %(stream)s) AS backfills,
    (SELECT count(*) FROM offload_drops WHERE stream = %(stream)s AND ended IS NULL) AS open_drops

-- name: rename
-- Everything that refers to the stream follows by its foreign key; nobody holds the lease of a stream with another name.
UPDATE offload_watermarks
SET stream = %(new)s, owner = NULL, lease_expires = NULL, epoch = epoch + 1, updated = clock_timestamp()
WHERE stream = %(stream)s

-- name: rename_emissions
UPDATE offload_emissions SET stream = %(new)s WHERE stream = %(stream)s

-- name: rename_parked
UPDATE offload_parked SET event = jsonb_set(event, '{stream}', to_jsonb(%(new)s::text)) WHERE stream = %(new)s

-- name: rename_outbox
UPDATE offload_outbox
SET stream = %(new)s, event = jsonb_set(event, '{stream}', to_jsonb(%(new)s::text))
WHERE stream = %(stream)s

-- name: rename_upstream_of_parked
UPDATE offload_parked
SET event = jsonb_set(event, '{upstream}', to_jsonb(%(new)s::text))
WHERE event ->> 'upstream' = %(stream)s

-- name: rename_upstream_of_outbox
UPDATE offload_outbox
SET event = jsonb_set(event, '{upstream}', to_jsonb(%(new)s::text))
WHERE event ->> 'upstream' = %(stream)s

-- name: archive
UPDATE offload_watermarks
SET stream = %(new)s, removed = clock_timestamp(), owner = NULL, lease_expires = NULL, epoch = epoch + 1,
    updated = clock_timestamp()
WHERE stream = %(stream)s

-- name: forget_emissions
DELETE FROM offload_emissions WHERE stream = %(stream)s

-- name: forget_outbox
-- Nobody would handle them: they are for a stream that is not there any more.
DELETE FROM offload_outbox WHERE stream = %(stream)s

-- name: purge_files
DELETE FROM offload_files WHERE stream = %(stream)s

-- name: purge_attempts
DELETE FROM offload_attempts WHERE stream = %(stream)s

-- name: purge_batches
DELETE FROM offload_batches WHERE stream = %(stream)s

-- name: purge_publishes
DELETE FROM offload_publishes WHERE stream = %(stream)s

-- name: purge_parked
DELETE FROM offload_parked WHERE stream = %(stream)s

-- name: purge_partitions
DELETE FROM offload_partitions WHERE stream = %(stream)s

-- name: purge_differences
DELETE FROM offload_differences WHERE stream = %(stream)s

-- name: purge_findings
DELETE FROM offload_findings WHERE stream = %(stream)s

-- name: purge_drops
DELETE FROM offload_drops WHERE stream = %(stream)s

-- name: purge_backfills
DELETE FROM offload_backfills WHERE stream = %(stream)s

-- name: purge_stream
DELETE FROM offload_watermarks WHERE stream = %(stream)s

-- name: move_release
UPDATE offload_watermarks
SET owner = NULL, lease_expires = NULL, epoch = epoch + 1, updated = clock_timestamp()
WHERE stream = %(stream)s
