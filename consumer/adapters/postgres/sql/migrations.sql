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

-- name: lacks_programs
SELECT NOT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass('schema_migrations') AND attname = 'oldest_program' AND NOT attisdropped
) AS lacking

-- name: add_programs
-- The oldest program that works with the ledger after a migration, by the last migration that it knows.
ALTER TABLE schema_migrations ADD COLUMN oldest_program integer NOT NULL DEFAULT 0 CHECK (oldest_program >= 0)

-- name: exists
SELECT to_regclass('schema_migrations') IS NOT NULL AS found

-- name: applied
-- A ledger that an older program has migrated has no oldest_program, and needs none.
SELECT version, name, sha256, coalesce((to_jsonb(schema_migrations) ->> 'oldest_program')::integer, 0) AS oldest_program
FROM schema_migrations ORDER BY version

-- name: record
INSERT INTO schema_migrations (version, name, sha256, oldest_program)
VALUES (%(version)s, %(name)s, %(sha256)s, %(oldest_program)s)
