-- Publishes in two steps, for a catalog outside of this database: what is about to be committed there is recorded first,
-- with all that is needed to record it as published once it is found in the table.

ALTER TABLE offload_batches DROP CONSTRAINT offload_batches_status_check;
ALTER TABLE offload_batches ADD CONSTRAINT offload_batches_status_check
    CHECK (status IN ('writing', 'publishing', 'published', 'failed', 'empty', 'withdrawn'));
ALTER TABLE offload_batches DROP CONSTRAINT a_batch_ends_when_it_is_not_written;
ALTER TABLE offload_batches ADD CONSTRAINT a_batch_ends_when_it_is_done_or_failed
    CHECK ((status IN ('writing', 'publishing')) = (ended IS NULL));

-- One row for each commit that may have landed, or may still land; it goes when that is settled.
CREATE TABLE offload_publishes (
    -- The snapshot that the commit adds.
    snapshot_id      bigint      PRIMARY KEY,
    stream           text        NOT NULL REFERENCES offload_watermarks (stream) ON UPDATE CASCADE,
    batch_id         uuid        NOT NULL,
    -- The one state of the table that the commit applies to; NULL is a table without a snapshot.
    base_snapshot_id bigint,
    epoch            bigint      NOT NULL CHECK (epoch > 0),
    -- Batch, content, trigger, outbox: what the ledger records once the commit is found to have landed.
    landing          jsonb       NOT NULL,
    recorded         timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX offload_publishes_of_a_stream ON offload_publishes (stream, recorded);
