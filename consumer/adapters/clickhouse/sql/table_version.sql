-- Whatever alters a table rewrites its definition; the times tell whether one of two equal definitions was altered.
SELECT
    toString(uuid) AS uuid,
    create_table_query,
    toUnixTimestamp(metadata_modification_time) AS modified,
    toUnixTimestamp64Micro(now64(6)) AS now
FROM system.tables
WHERE database = {database:String} AND name = {table:String}
