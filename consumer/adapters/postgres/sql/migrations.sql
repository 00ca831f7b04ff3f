-- name: lock
-- Bound to the transaction, so that it works behind a transaction pooler and never outlives its owner.
SELECT pg_advisory_xact_lock(hashtextextended('icehaul schema_migrations', 0))

-- name: create
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer     PRIMARY KEY CHECK (version > 0),
    name    text        NOT NULL,
    sha256  text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    applied timestamptz NOT NULL DEFAULT clock_timestamp()
)

-- name: exists
SELECT to_regclass('schema_migrations') IS NOT NULL AS found

-- name: applied
SELECT version, name, sha256 FROM schema_migrations ORDER BY version

-- name: record
INSERT INTO schema_migrations (version, name, sha256) VALUES (%(version)s, %(name)s, %(sha256)s)
