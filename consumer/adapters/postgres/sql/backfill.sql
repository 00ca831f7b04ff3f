-- name: request
INSERT INTO offload_backfills (request_id, stream, lower, upper, position, state, requested_by)
VALUES (%(request_id)s, %(stream)s, %(lower)s, %(upper)s, %(position)s, 'open', %(requested_by)s)
ON CONFLICT (request_id) DO NOTHING

-- name: open
SELECT request_id, stream, lower, upper, position, state, windows, rows, bytes, requested_by, requested, ended
FROM offload_backfills
WHERE stream = %(stream)s AND state = 'open'
ORDER BY requested, request_id

-- name: all
SELECT request_id, stream, lower, upper, position, state, windows, rows, bytes, requested_by, requested, ended
FROM offload_backfills
WHERE stream = ANY (%(streams)s)
ORDER BY requested DESC, request_id

-- name: cancel
UPDATE offload_backfills
SET state = 'cancelled', ended = clock_timestamp(), updated = clock_timestamp()
WHERE stream = %(stream)s AND state = 'open' AND (%(request_id)s::uuid IS NULL OR request_id = %(request_id)s)
RETURNING request_id, stream, lower, upper, position, state, windows, rows, bytes, requested_by, requested, ended

-- name: position
SELECT position FROM offload_backfills
WHERE stream = %(stream)s AND request_id = %(request_id)s AND state = 'open'

-- name: skip
UPDATE offload_backfills
SET position = %(position)s,
    state = CASE WHEN %(position)s >= upper THEN 'done' ELSE state END,
    ended = CASE WHEN %(position)s >= upper THEN clock_timestamp() END,
    updated = clock_timestamp()
WHERE stream = %(stream)s AND request_id = %(request_id)s AND state = 'open' AND position < %(position)s

-- name: move
UPDATE offload_backfills
SET position = %(upper)s,
    windows = windows + 1,
    rows = rows + %(rows)s,
    bytes = bytes + %(bytes)s,
    state = CASE WHEN %(upper)s >= upper THEN 'done' ELSE state END,
    ended = CASE WHEN %(upper)s >= upper THEN clock_timestamp() END,
    updated = clock_timestamp()
WHERE stream = %(stream)s AND request_id = %(request_id)s AND state = 'open' AND position <= %(lower)s

-- name: note_rows
UPDATE offload_watermarks
SET last_batch_id = %(batch_id)s, last_backfill_id = %(batch_id)s, updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s

-- name: note_empty
UPDATE offload_watermarks
SET last_backfill_id = %(batch_id)s, updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s
