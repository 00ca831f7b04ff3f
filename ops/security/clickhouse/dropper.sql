-- The rights of `icehaul drop-hot --yes`, besides those of reader.sql: it deletes rows, so give it to a user of its own, and to
-- no consumer. Run it as an administrator, with your own databases in the place of market; then make the user:
--   CREATE USER icehaul_drop IDENTIFIED WITH sha256_password BY '…' DEFAULT ROLE icehaul_reads, icehaul_dropper;
-- where icehaul_reads has the grants of reader.sql without readonly = 2, which forbids all that follows.

CREATE ROLE IF NOT EXISTS icehaul_dropper;

-- A partition is moved to the quarantine table, and back if the cold tier lacks a row: out of one table, into the other.
GRANT SELECT, INSERT, ALTER DELETE ON market.* TO icehaul_dropper;

-- The quarantine table is made like the source, loses its TTL, and is dropped with the last partition.
GRANT CREATE TABLE, DROP TABLE, ALTER TTL ON market.* TO icehaul_dropper;
