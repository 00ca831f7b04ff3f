-- name: looked
SELECT (SELECT looked FROM offload_maintenance WHERE stream = %(stream)s AND task = %(task)s) AS looked,
       clock_timestamp() AS now

-- name: note
INSERT INTO offload_maintenance (stream, task, looked, epoch)
VALUES (%(stream)s, %(task)s, clock_timestamp(), %(epoch)s)
ON CONFLICT (stream, task) DO UPDATE SET looked = excluded.looked, epoch = excluded.epoch

-- name: abandon
-- Whoever has begun it can't publish it any more: the epoch has moved on. What was about to be committed elsewhere is
-- 'publishing', and was settled when the lease was taken.
UPDATE offload_batches
SET status = 'failed', error = 'its owner has lost the lease, and the files are looked at anew', ended = clock_timestamp()
WHERE stream = %(stream)s AND kind = 'maintenance' AND status = 'writing' AND epoch < %(epoch)s
