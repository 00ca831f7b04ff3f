-- The ledger: how far each stream is, who works on it, what was written and published for it.
-- Every instant is a timestamptz in microseconds; every lease is judged by this server's clock.

CREATE TABLE offload_watermarks (
    stream        text        PRIMARY KEY CHECK (stream ~ '^[A-Za-z_][A-Za-z0-9_]{0,126}$'),
    -- Everything before this instant has been read. The default is the beginning of ClickHouse's DateTime64.
    watermark     timestamptz NOT NULL DEFAULT '1900-01-01 00:00:00+00'
                  CHECK (watermark >= '1900-01-01 00:00:00+00' AND watermark < '2300-01-01 00:00:00+00'),
    -- Upper bound of the last window that had rows.
    last_upper    timestamptz,
    -- Bumped whenever the watermark is lowered, so that the same window gets a new batch id.
    generation    integer     NOT NULL DEFAULT 1 CHECK (generation >= 1),
    source_uuid   uuid,
    target_uuid   uuid,
    owner         text,
    lease_expires timestamptz,
    -- The fence: counts the acquisitions of the lease, never goes back.
    epoch         bigint      NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    state         text        NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'halted')),
    halt_reason   text,
    halt_remedy   text,
    created       timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT last_upper_is_not_above_the_watermark CHECK (last_upper <= watermark),
    CONSTRAINT a_lease_has_an_owner_and_an_end CHECK ((owner IS NULL) = (lease_expires IS NULL)),
    CONSTRAINT an_owner_has_an_epoch CHECK (owner IS NULL OR epoch > 0),
    CONSTRAINT a_lease_ends CHECK (isfinite(lease_expires)),
    CONSTRAINT a_halt_has_reason_and_remedy
        CHECK ((state = 'halted') = (halt_reason IS NOT NULL) AND (halt_reason IS NULL) = (halt_remedy IS NULL)),
    CONSTRAINT tables_are_bound_together CHECK ((source_uuid IS NULL) = (target_uuid IS NULL))
) WITH (fillfactor = 50);

CREATE TABLE offload_batches (
    batch_id        uuid        PRIMARY KEY,
    stream          text        NOT NULL REFERENCES offload_watermarks (stream),
    kind            text        NOT NULL
                    CHECK (kind IN ('window', 'supplement', 'replace-window', 'backfill', 'maintenance')),
    lower           timestamptz NOT NULL CHECK (lower >= '1900-01-01 00:00:00+00'),
    upper           timestamptz NOT NULL CHECK (upper < '2300-01-01 00:00:00+00'),
    generation      integer     NOT NULL CHECK (generation >= 1),
    status          text        NOT NULL CHECK (status IN ('writing', 'published', 'failed', 'empty')),
    rows            bigint      NOT NULL DEFAULT 0 CHECK (rows >= 0),
    bytes           bigint      NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    -- Sum of the rows' 64-bit hashes, as 16 hexadecimal digits.
    digest          text        CHECK (digest ~ '^[0-9a-f]{16}$'),
    snapshot_id     bigint,
    kafka_topic     text,
    kafka_partition integer     CHECK (kafka_partition >= 0),
    kafka_offset    bigint      CHECK (kafka_offset >= 0),
    -- The events on whose behalf the batch was attempted, in order of arrival.
    event_ids       text[]      NOT NULL DEFAULT '{}',
    trace_id        text,
    epoch           bigint      NOT NULL CHECK (epoch > 0),
    owner           text        NOT NULL,
    attempts        integer     NOT NULL DEFAULT 1 CHECK (attempts >= 1),
    error           text,
    started         timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended           timestamptz,
    CONSTRAINT a_window_is_not_empty CHECK (lower < upper),
    CONSTRAINT coordinates_are_whole
        CHECK ((kafka_topic IS NULL) = (kafka_partition IS NULL) AND (kafka_topic IS NULL) = (kafka_offset IS NULL)),
    CONSTRAINT a_batch_ends_when_it_is_not_written CHECK ((status = 'writing') = (ended IS NULL)),
    CONSTRAINT a_published_batch_has_a_snapshot
        CHECK ((status = 'published') = (snapshot_id IS NOT NULL)),
    CONSTRAINT a_published_batch_has_a_digest CHECK (status <> 'published' OR digest IS NOT NULL),
    CONSTRAINT an_empty_batch_has_no_rows CHECK (status <> 'empty' OR (rows = 0 AND bytes = 0)),
    CONSTRAINT a_failed_batch_has_an_error CHECK (status <> 'failed' OR error IS NOT NULL)
);

-- Windows of one generation that are done neither begin nor end together.
CREATE UNIQUE INDEX offload_batches_one_window_per_lower ON offload_batches (stream, generation, lower)
    WHERE kind = 'window' AND status IN ('published', 'empty');
CREATE UNIQUE INDEX offload_batches_one_window_per_upper ON offload_batches (stream, generation, upper)
    WHERE kind = 'window' AND status IN ('published', 'empty');
CREATE INDEX offload_batches_latest ON offload_batches (stream, started DESC);
CREATE INDEX offload_batches_open ON offload_batches (status, started) WHERE status IN ('writing', 'failed');

-- One row for each attempt, made before its prefix is written to: files under it are accounted for.
CREATE TABLE offload_attempts (
    prefix   text        PRIMARY KEY CHECK (prefix <> ''),
    stream   text        NOT NULL REFERENCES offload_watermarks (stream),
    batch_id uuid        NOT NULL REFERENCES offload_batches (batch_id) ON UPDATE CASCADE,
    epoch    bigint      NOT NULL CHECK (epoch > 0),
    created  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX offload_attempts_of_a_batch ON offload_attempts (batch_id);
CREATE INDEX offload_attempts_of_a_stream ON offload_attempts (stream, created);

-- What an attempt wrote.
CREATE TABLE offload_files (
    path     text        PRIMARY KEY CHECK (path <> ''),
    prefix   text        NOT NULL REFERENCES offload_attempts (prefix) ON DELETE CASCADE,
    stream   text        NOT NULL REFERENCES offload_watermarks (stream),
    batch_id uuid        NOT NULL REFERENCES offload_batches (batch_id) ON UPDATE CASCADE,
    unit     integer     NOT NULL CHECK (unit >= 0),
    rows     bigint      NOT NULL CHECK (rows >= 0),
    bytes    bigint      NOT NULL CHECK (bytes > 0),
    digest   text        NOT NULL CHECK (digest ~ '^[0-9a-f]{16}$'),
    epoch    bigint      NOT NULL CHECK (epoch > 0),
    created  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX offload_files_of_a_batch ON offload_files (batch_id);
CREATE INDEX offload_files_of_an_attempt ON offload_files (prefix);

-- Events of halted streams, kept until the stream is resumed.
CREATE TABLE offload_parked (
    number   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream   text        NOT NULL REFERENCES offload_watermarks (stream),
    event_id text        NOT NULL,
    event    jsonb       NOT NULL,
    parked   timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (stream, event_id)
);

-- Events that became true with a transaction of the ledger and are still to be sent to Kafka.
CREATE TABLE offload_outbox (
    number        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream        text        NOT NULL,
    event_id      text        NOT NULL,
    event         jsonb       NOT NULL,
    created       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- A relay leaves a message alone until then, because another one is sending it.
    claimed_until timestamptz NOT NULL DEFAULT '-infinity'
);
