-- What the emitter remembers: who emits, when it last ticked, and which partition closes it has sent.

CREATE TABLE offload_emitter (
    name          text        PRIMARY KEY CHECK (name <> ''),
    owner         text,
    lease_expires timestamptz,
    epoch         bigint      NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    last_tick     timestamptz CHECK (isfinite(last_tick)),
    updated       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT an_emitter_lease_has_an_owner_and_an_end CHECK ((owner IS NULL) = (lease_expires IS NULL)),
    CONSTRAINT an_emitter_lease_ends CHECK (isfinite(lease_expires))
) WITH (fillfactor = 50);

-- The last close that was sent for each partition; another content id makes a new event.
CREATE TABLE offload_emissions (
    stream       text        NOT NULL CHECK (stream ~ '^[A-Za-z_][A-Za-z0-9_]{0,126}$'),
    partition_id text        NOT NULL CHECK (partition_id <> ''),
    content_id   text        NOT NULL CHECK (content_id <> ''),
    cutoff       timestamptz NOT NULL CHECK (isfinite(cutoff)),
    event_id     text        NOT NULL CHECK (event_id <> ''),
    sent         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, partition_id)
);
