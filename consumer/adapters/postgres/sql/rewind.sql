-- name: last_rows
SELECT max(upper) AS upper
FROM offload_batches
WHERE stream = %(stream)s AND kind = 'window' AND status = 'published' AND upper <= %(before)s

-- name: lock_held
-- What is derived from the stream must not be planned anew by another owner before the rewind is committed.
SELECT stream, epoch, owner FROM offload_watermarks WHERE stream = ANY (%(streams)s) ORDER BY stream FOR UPDATE

-- name: explain
UPDATE offload_batches SET reason = %(reason)s WHERE batch_id = %(batch_id)s

-- name: withdraw
-- Rewinds stay: they tell of what they did, and nothing of what is in the table.
UPDATE offload_batches
SET status = 'withdrawn', withdrawn = clock_timestamp(), withdrawn_by = %(batch_id)s
WHERE stream = %(stream)s AND status IN ('published', 'empty') AND lower >= %(since)s
  AND kind IN ('window', 'supplement', 'replace-window', 'backfill')

-- name: hand_over
-- The files of the window that straddled the instant belong to what is left of it, those that the rewind wrote for it, too.
UPDATE offload_files
SET batch_id = %(remainder)s, kept = false, former = former || batch_id
WHERE stream = %(stream)s
  AND (
      path = ANY (%(paths)s::text[])
      OR (NOT kept AND batch_id IN (SELECT batch_id FROM offload_batches
                                    WHERE withdrawn_by = %(batch_id)s AND lower < %(watermark)s))
  )

-- name: take_over
-- What withdrawn replacements have kept of other windows' rows is still there.
UPDATE offload_files
SET batch_id = %(batch_id)s, former = former || batch_id
WHERE stream = %(stream)s AND kept
  AND batch_id IN (SELECT batch_id FROM offload_batches WHERE withdrawn_by = %(batch_id)s)

-- name: set_back
UPDATE offload_watermarks
SET watermark = %(watermark)s,
    last_upper = %(last_upper)s,
    generation = generation + 1,
    last_batch_id = CASE WHEN %(published)s THEN %(batch_id)s ELSE last_batch_id END,
    updated = clock_timestamp()
WHERE stream = %(stream)s AND epoch = %(epoch)s AND watermark = %(upper)s AND generation = %(generation)s
