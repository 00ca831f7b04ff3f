-- The rights of somebody by whom ClickHouse writes files to the store (INSERT INTO FUNCTION s3): an archive beside the cold
-- tier, a copy for another tool. icehaul's own batches do not need them: Spark writes those, and ClickHouse is only read.
-- Run it as an administrator, with your own databases in the place of market.

CREATE ROLE IF NOT EXISTS icehaul_exporter;

-- The rows that are exported.
GRANT SELECT ON market.* TO icehaul_exporter;

-- A table function, and the files behind it. Servers that tell reading from writing: WRITE ON S3. What may be written where
-- is up to the keys in the function: give them ops/security/store/clickhouse-writer.json.
GRANT CREATE TEMPORARY TABLE ON *.* TO icehaul_exporter;
GRANT S3 ON *.* TO icehaul_exporter;
