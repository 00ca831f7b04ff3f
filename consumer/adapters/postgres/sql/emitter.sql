-- name: acquire
-- The first emitter creates the row; afterwards the lease decides. No row is returned where another one holds it.
INSERT INTO offload_emitter AS emitter (name, owner, lease_expires, epoch)
VALUES (%(name)s, %(owner)s, clock_timestamp() + %(ttl)s, 1)
ON CONFLICT (name) DO UPDATE
SET owner = excluded.owner,
    lease_expires = clock_timestamp() + %(ttl)s,
    epoch = emitter.epoch + 1,
    updated = clock_timestamp()
WHERE emitter.owner IS NULL OR emitter.owner = excluded.owner OR emitter.lease_expires <= clock_timestamp()
RETURNING epoch

-- name: read
SELECT owner, lease_expires, epoch, last_tick FROM offload_emitter WHERE name = %(name)s

-- name: lock
SELECT owner, lease_expires, epoch, last_tick FROM offload_emitter WHERE name = %(name)s FOR UPDATE

-- name: renew
UPDATE offload_emitter SET lease_expires = clock_timestamp() + %(ttl)s, updated = clock_timestamp()
WHERE name = %(name)s AND owner = %(owner)s AND epoch = %(epoch)s

-- name: release
UPDATE offload_emitter SET owner = NULL, lease_expires = NULL, updated = clock_timestamp()
WHERE name = %(name)s AND owner = %(owner)s AND epoch = %(epoch)s

-- name: tick
UPDATE offload_emitter SET last_tick = greatest(last_tick, %(boundary)s), updated = clock_timestamp()
WHERE name = %(name)s

-- name: emissions
SELECT stream, partition_id, content_id, cutoff, event_id
FROM offload_emissions
WHERE stream = ANY (%(streams)s)
ORDER BY stream, partition_id

-- name: record
INSERT INTO offload_emissions (stream, partition_id, content_id, cutoff, event_id)
VALUES (%(stream)s, %(partition_id)s, %(content_id)s, %(cutoff)s, %(event_id)s)
ON CONFLICT (stream, partition_id) DO UPDATE
SET content_id = excluded.content_id, cutoff = excluded.cutoff, event_id = excluded.event_id,
    sent = clock_timestamp()
