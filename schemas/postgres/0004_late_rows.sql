-- Late rows: what the hot tier was last seen to hold, so that what has arrived since is found; supplements, which
-- bring late rows into the cold tier; and findings, which nobody but an operator can settle.

-- What a supplement was computed from: the recorded content of its window. Its predicate is that this still holds.
ALTER TABLE offload_batches ADD COLUMN base_rows bigint CHECK (base_rows >= 0);
ALTER TABLE offload_batches ADD COLUMN base_digest text CHECK (base_digest ~ '^[0-9a-f]{16}$');
-- How many of a supplement's rows were how late: one number for each step of the histogram, ascending.
ALTER TABLE offload_batches ADD COLUMN lateness bigint[];
ALTER TABLE offload_batches ADD CONSTRAINT a_supplement_has_a_base
    CHECK ((kind = 'supplement') = (base_digest IS NOT NULL) AND (base_rows IS NULL) = (base_digest IS NULL));

-- The batch that was published last, of whatever kind: what the table's newest evidence has to name.
ALTER TABLE offload_watermarks ADD COLUMN last_batch_id uuid;
UPDATE offload_watermarks SET last_batch_id = (
    SELECT batch_id FROM offload_batches
    WHERE offload_batches.stream = offload_watermarks.stream AND status = 'published'
    ORDER BY upper DESC LIMIT 1
);

-- The windows and supplements that lie around an instant.
CREATE INDEX offload_batches_content ON offload_batches (stream, lower, upper)
    WHERE status IN ('published', 'empty') AND kind IN ('window', 'supplement');

-- The partitions of a source table as they were when the rows below the watermark were last compared with the record.
CREATE TABLE offload_partitions (
    stream       text        NOT NULL REFERENCES offload_watermarks (stream),
    partition_id text        NOT NULL CHECK (partition_id <> ''),
    rows         bigint      NOT NULL CHECK (rows > 0),
    min_block    bigint      NOT NULL,
    max_block    bigint      NOT NULL,
    data_version bigint      NOT NULL,
    first        timestamptz NOT NULL CHECK (isfinite(first)),
    last         timestamptz NOT NULL CHECK (isfinite(last)),
    -- Rows at or above the watermark of that moment: they still had to be read.
    pending      bigint      NOT NULL CHECK (pending >= 0),
    watermark    timestamptz NOT NULL CHECK (isfinite(watermark)),
    -- Whether the digests were compared, not only the counts.
    exact        boolean     NOT NULL,
    compared     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, partition_id),
    CONSTRAINT a_partition_begins_before_it_ends CHECK (first <= last)
) WITH (fillfactor = 70);

-- What the hot tier held of a window when it was last found to differ from what the cold tier holds of it, and why
-- that is no late row: rows that have gone since (TTL, deletions), rows that were changed.
CREATE TABLE offload_differences (
    stream   text        NOT NULL REFERENCES offload_watermarks (stream),
    lower    timestamptz NOT NULL,
    rows     bigint      NOT NULL CHECK (rows >= 0),
    digest   text        NOT NULL CHECK (digest ~ '^[0-9a-f]{16}$'),
    compared timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, lower)
);

-- What was found in the hot tier, and is not icehaul's to settle by itself.
CREATE TABLE offload_findings (
    stream   text        NOT NULL REFERENCES offload_watermarks (stream),
    kind     text        NOT NULL CHECK (kind IN ('changed', 'deleted', 'too-late', 'gap')),
    lower    timestamptz NOT NULL,
    upper    timestamptz NOT NULL,
    rows     bigint      NOT NULL CHECK (rows > 0),
    detail   text        NOT NULL,
    found    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When an operator has accepted it.
    accepted timestamptz,
    PRIMARY KEY (stream, kind, lower),
    CONSTRAINT a_finding_has_an_extent CHECK (lower < upper)
);
