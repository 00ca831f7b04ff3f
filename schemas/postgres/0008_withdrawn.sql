-- Batches that the target table does not prove any more: it was rolled back, dropped or restored below them, or rows were
-- removed from it on purpose. Their windows are written again, at the next generation.

ALTER TABLE offload_batches DROP CONSTRAINT offload_batches_status_check;
ALTER TABLE offload_batches ADD CONSTRAINT offload_batches_status_check
    CHECK (status IN ('writing', 'published', 'failed', 'empty', 'withdrawn'));
-- When a batch that was published or empty was withdrawn; rows, digest and snapshot stay as they were.
ALTER TABLE offload_batches ADD COLUMN withdrawn timestamptz;
-- The batch that stands in its place: one whose snapshot took its rows out of the table (a rewind), or a window that was
-- counted in the table anew; none where the table was changed by others.
ALTER TABLE offload_batches ADD COLUMN withdrawn_by uuid;
ALTER TABLE offload_batches ADD CONSTRAINT what_is_withdrawn_has_an_instant
    CHECK ((status = 'withdrawn') = (withdrawn IS NOT NULL) AND (withdrawn_by IS NULL OR withdrawn IS NOT NULL));
ALTER TABLE offload_batches DROP CONSTRAINT a_published_batch_has_a_snapshot;
ALTER TABLE offload_batches ADD CONSTRAINT a_published_batch_has_a_snapshot
    CHECK (status = 'withdrawn' OR (status = 'published') = (snapshot_id IS NOT NULL));

-- Windows that are done neither begin nor end together, of whatever generation they are.
CREATE UNIQUE INDEX offload_batches_done_once_per_lower ON offload_batches (stream, lower)
    WHERE kind IN ('window', 'backfill') AND status IN ('published', 'empty');
CREATE UNIQUE INDEX offload_batches_done_once_per_upper ON offload_batches (stream, upper)
    WHERE kind IN ('window', 'backfill') AND status IN ('published', 'empty');
DROP INDEX offload_batches_one_done_per_lower;
DROP INDEX offload_batches_one_done_per_upper;

-- The live windows alone: before each publish they are added up, and have to lead from the start to the watermark.
CREATE INDEX offload_batches_chain ON offload_batches (stream) INCLUDE (lower, upper)
    WHERE kind = 'window' AND status IN ('published', 'empty');
