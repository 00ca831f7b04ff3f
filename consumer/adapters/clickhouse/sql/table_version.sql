-- How a table is defined, of a cluster by each shard. Whatever alters a table rewrites its definition; the times tell
-- whether one of two equal definitions was altered.
SELECT
    '' AS _icehaul_partition,
    toString(tuple($shard, uuid, create_table_query)) AS definition,
    toInt64(toUnixTimestamp(metadata_modification_time)) AS modified,
    toInt64(toUnixTimestamp64Micro(now64(6))) AS now,
    toInt64(0) AS unused,
    toInt64(0) AS unused_too,
    toInt64(0) AS unused_as_well
FROM $tables
WHERE database = {database:String} AND name = {table:String}
