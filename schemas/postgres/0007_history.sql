-- History: where a stream starts, ranges below that which are backfilled beside its live windows, and rows that were in
-- the target before.

-- Windows lead from here to the watermark without a gap; what lies below is offloaded on request only.
ALTER TABLE offload_watermarks ADD COLUMN start timestamptz NOT NULL DEFAULT '1900-01-01 00:00:00+00'
    CHECK (start >= '1900-01-01 00:00:00+00' AND start < '2300-01-01 00:00:00+00');
ALTER TABLE offload_watermarks ADD CONSTRAINT the_watermark_is_not_below_the_start CHECK (watermark >= start);
-- The backfill batch that was done last: a hint that names another one is an old one.
ALTER TABLE offload_watermarks ADD COLUMN last_backfill_id uuid;

-- Rows below this instant were in the target before icehaul, and were adopted.
ALTER TABLE offload_watermarks ADD COLUMN adopted timestamptz;

-- One row for each range that somebody wanted; rows are never removed.
CREATE TABLE offload_backfills (
    request_id   uuid        PRIMARY KEY,
    stream       text        NOT NULL REFERENCES offload_watermarks (stream) ON UPDATE CASCADE,
    lower        timestamptz NOT NULL CHECK (lower >= '1900-01-01 00:00:00+00'),
    upper        timestamptz NOT NULL CHECK (upper < '2300-01-01 00:00:00+00'),
    -- Everything of the range before this instant is done, by this request or by somebody before it.
    position     timestamptz NOT NULL,
    state        text        NOT NULL CHECK (state IN ('open', 'done', 'cancelled')),
    -- What was done by this request itself: windows, those without rows among them, rows, bytes of data files.
    windows      bigint      NOT NULL DEFAULT 0 CHECK (windows >= 0),
    rows         bigint      NOT NULL DEFAULT 0 CHECK (rows >= 0),
    bytes        bigint      NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    requested_by text        NOT NULL CHECK (requested_by <> ''),
    requested    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated      timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended        timestamptz,
    CONSTRAINT a_range_is_not_empty CHECK (lower < upper),
    CONSTRAINT the_position_lies_in_the_range CHECK (position BETWEEN lower AND upper),
    CONSTRAINT what_is_done_is_done_to_its_end CHECK (state <> 'done' OR position = upper),
    CONSTRAINT a_request_ends_when_it_is_not_open CHECK ((state = 'open') = (ended IS NULL))
);

CREATE INDEX offload_backfills_of_a_stream ON offload_backfills (stream, requested);
CREATE INDEX offload_backfills_open ON offload_backfills (stream) WHERE state = 'open';

-- Windows of one generation that are done neither begin nor end together, whichever of the two kinds they are.
CREATE UNIQUE INDEX offload_batches_one_done_per_lower ON offload_batches (stream, generation, lower)
    WHERE kind IN ('window', 'backfill') AND status IN ('published', 'empty');
CREATE UNIQUE INDEX offload_batches_one_done_per_upper ON offload_batches (stream, generation, upper)
    WHERE kind IN ('window', 'backfill') AND status IN ('published', 'empty');
DROP INDEX offload_batches_one_window_per_lower;
DROP INDEX offload_batches_one_window_per_upper;

-- The windows, backfilled ones too, and what changed them, that lie around an instant.
CREATE INDEX offload_batches_done ON offload_batches (stream, lower, upper)
    WHERE status IN ('published', 'empty') AND kind IN ('window', 'supplement', 'replace-window', 'backfill');
DROP INDEX offload_batches_content;

-- A stream that was removed keeps its rows under another name, for an audit.
ALTER TABLE offload_watermarks ADD COLUMN removed timestamptz;

-- A stream's name may change: what refers to it follows in the same statement.
ALTER TABLE offload_batches DROP CONSTRAINT offload_batches_stream_fkey, ADD CONSTRAINT offload_batches_stream_fkey
    FOREIGN KEY (stream) REFERENCES offload_watermarks (stream) ON UPDATE CASCADE;
ALTER TABLE offload_attempts DROP CONSTRAINT offload_attempts_stream_fkey, ADD CONSTRAINT offload_attempts_stream_fkey
    FOREIGN KEY (stream) REFERENCES offload_watermarks (stream) ON UPDATE CASCADE;
ALTER TABLE offload_files DROP CONSTRAINT offload_files_stream_fkey, ADD CONSTRAINT offload_files_stream_fkey
    FOREIGN KEY (stream) REFERENCES offload_watermarks (stream) ON UPDATE CASCADE;
ALTER TABLE offload_parked DROP CONSTRAINT offload_parked_stream_fkey, ADD CONSTRAINT offload_parked_stream_fkey
    FOREIGN KEY (stream) REFERENCES offload_watermarks (stream) ON UPDATE CASCADE;
ALTER TABLE offload_partitions DROP CONSTRAINT offload_partitions_stream_fkey,
    ADD CONSTRAINT offload_partitions_stream_fkey
    FOREIGN KEY (stream) REFERENCES offload_watermarks (stream) ON UPDATE CASCADE;
ALTER TABLE offload_differences DROP CONSTRAINT offload_differences_stream_fkey,
    ADD CONSTRAINT offload_differences_stream_fkey
    FOREIGN KEY (stream) REFERENCES offload_watermarks (stream) ON UPDATE CASCADE;
ALTER TABLE offload_findings DROP CONSTRAINT offload_findings_stream_fkey,
    ADD CONSTRAINT offload_findings_stream_fkey
    FOREIGN KEY (stream) REFERENCES offload_watermarks (stream) ON UPDATE CASCADE;
ALTER TABLE offload_drops DROP CONSTRAINT offload_drops_stream_fkey, ADD CONSTRAINT offload_drops_stream_fkey
    FOREIGN KEY (stream) REFERENCES offload_watermarks (stream) ON UPDATE CASCADE;
