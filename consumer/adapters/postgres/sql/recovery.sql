-- name: make_room
-- Where the ledger was lost, owners of before may still run: their epochs must not come again.
INSERT INTO offload_watermarks AS known (stream, watermark, start, epoch)
VALUES (%(stream)s, %(start)s, %(start)s, %(epoch)s)
ON CONFLICT (stream) DO UPDATE
SET epoch = greatest(known.epoch, excluded.epoch), updated = clock_timestamp()
WHERE known.target_uuid IS NULL
