-- The rights of clickhouse.user where ClickHouse writes the data files itself (spark.writer: export), instead of reader.sql. Also for
-- a user of somebody else's who writes files to the store, to an archive beside the cold tier.
-- Run it as an administrator, with your own databases in the place of market.

CREATE ROLE IF NOT EXISTS icehaul_exporter;

-- The rows that are exported, and what partitions hold without reading rows.
GRANT SELECT ON market.* TO icehaul_exporter;
GRANT SELECT ON system.parts TO icehaul_exporter;

-- A table function, and the files behind it. Servers that tell reading from writing: WRITE ON S3. What may be written where
-- is up to the keys in the function: for icehaul ops/security/store/clickhouse-exporter.json, for others clickhouse-writer.json.
GRANT CREATE TEMPORARY TABLE ON *.* TO icehaul_exporter;
GRANT S3 ON *.* TO icehaul_exporter;
