-- Files under a stream's table that nothing refers to, from the first time on that they were found: they are deleted once
-- they have been found for the grace period, and are taken off the list then, or when something refers to them again.

CREATE TABLE offload_superfluous (
    stream text        NOT NULL REFERENCES offload_watermarks (stream) ON UPDATE CASCADE ON DELETE CASCADE,
    path   text        NOT NULL CHECK (path <> ''),
    bytes  bigint      NOT NULL CHECK (bytes >= 0),
    found  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, path)
);
