-- The rights of clickhouse.user: consumers, emitters, `icehaul plan`, `status`, `verify`, `audit` and `doctor`. They read, and
-- change nothing. Run it as an administrator, with your own databases in the place of market; then make the user:
--   CREATE USER icehaul IDENTIFIED WITH sha256_password BY '…' DEFAULT ROLE icehaul_reader;
-- What it is: system.tables, columns, databases and settings may be read by everybody, and show what one has rights on.

-- Settings are sent along with queries, and no table may be written: 2 forbids INSERT into tables and DDL whatever else is
-- granted. A table function is no table: what may be written to the store is up to READ ON S3 below, and to the keys' policy.
CREATE ROLE IF NOT EXISTS icehaul_reader SETTINGS readonly = 2;

-- The rows, and the tables' definitions and columns with them: the whole row is read, so a list of columns would not do.
GRANT SELECT ON market.* TO icehaul_reader;

-- What partitions hold without reading rows: closed partitions, late rows, estimates. Only the user's tables are shown.
GRANT SELECT ON system.parts TO icehaul_reader;

-- ClickHouse reads the data files by s3() and computes their digest: before each publish, for late rows and `verify`. Every
-- table function takes the first of the two. From 25.8 on, servers may tell reading from writing: READ ON S3 is enough there.
-- A stream with `digest: on_demand` that is never verified needs neither.
GRANT CREATE TEMPORARY TABLE ON *.* TO icehaul_reader;
GRANT S3 ON *.* TO icehaul_reader;
