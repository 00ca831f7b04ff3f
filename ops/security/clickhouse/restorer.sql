-- The rights of `icehaul restore --yes`, besides those of reader.sql (without its readonly = 2): it writes rows into tables of yours, so
-- give it to a user of its own. Run it as an administrator, with the databases that rows are restored into in the place of market.

CREATE ROLE IF NOT EXISTS icehaul_restorer;

-- The staging table is made, filled, compared, and dropped or renamed; a copy of a table with a TTL loses it.
GRANT CREATE TABLE, DROP TABLE, ALTER TTL ON market.* TO icehaul_restorer;

-- A partition is moved out of the staging table, into the destination.
GRANT SELECT, INSERT, ALTER DELETE ON market.* TO icehaul_restorer;
