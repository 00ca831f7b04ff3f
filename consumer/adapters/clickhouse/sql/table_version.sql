-- Whatever alters a table rewrites its definition; the times tell whether one of two equal definitions was altered.
-- Of a cluster: all shards' together.
SELECT
    toString(arraySort(groupArray(tuple($shard, uuid, create_table_query)))) AS definition,
    toUnixTimestamp(max(metadata_modification_time)) AS modified,
    toUnixTimestamp64Micro(min(now64(6))) AS now,
    count() AS tables
FROM $tables
WHERE database = {database:String} AND name = {table:String}
