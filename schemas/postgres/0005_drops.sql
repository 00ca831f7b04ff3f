-- Partitions that were dropped from the hot tier, or were to be: who wanted it, what was compared, how it ended.

CREATE TABLE offload_drops (
    drop_id      uuid        PRIMARY KEY,
    stream       text        NOT NULL REFERENCES offload_watermarks (stream),
    partition_id text        NOT NULL CHECK (partition_id <> ''),
    -- The table through which the partition went: database.table.
    quarantine   text        NOT NULL CHECK (quarantine <> ''),
    -- From its first row's time up to but without the next possible time after its last row's.
    lower        timestamptz NOT NULL CHECK (lower >= '1900-01-01 00:00:00+00'),
    upper        timestamptz NOT NULL CHECK (upper < '2300-01-01 00:00:00+00'),
    content_id   text        NOT NULL CHECK (content_id <> ''),
    rows         bigint      NOT NULL CHECK (rows >= 0),
    bytes        bigint      NOT NULL CHECK (bytes >= 0),
    -- Of the rows that were dropped: the sum of their 64-bit hashes, as 16 hexadecimal digits.
    digest       text        CHECK (digest ~ '^[0-9a-f]{16}$'),
    -- The target's snapshot that held all of them.
    snapshot_id  bigint,
    state        text        NOT NULL CHECK (state IN ('moving', 'verified', 'dropped', 'returned')),
    reason       text,
    requested_by text        NOT NULL CHECK (requested_by <> ''),
    epoch        bigint      NOT NULL CHECK (epoch > 0),
    started      timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended        timestamptz,
    CONSTRAINT a_stretch_is_not_empty CHECK (lower < upper),
    CONSTRAINT what_is_verified_has_a_digest CHECK (state NOT IN ('verified', 'dropped') OR digest IS NOT NULL),
    CONSTRAINT a_drop_ends_when_it_is_dropped_or_returned
        CHECK ((state IN ('dropped', 'returned')) = (ended IS NOT NULL)),
    CONSTRAINT what_is_returned_has_a_reason CHECK (state <> 'returned' OR reason IS NOT NULL)
);

CREATE INDEX offload_drops_of_a_stream ON offload_drops (stream, started);
