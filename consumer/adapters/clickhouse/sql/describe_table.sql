SELECT
    toString(uuid) AS uuid,
    engine,
    partition_key,
    sorting_key,
    engine_full,
    serverTimezone() AS server_zone,
    (
        SELECT groupArray(array(name, type, default_kind))
        FROM
        (
            SELECT name, type, default_kind
            FROM system.columns
            WHERE database = {database:String} AND table = {table:String}
            ORDER BY position
        )
    ) AS columns
FROM system.tables
WHERE database = {database:String} AND name = {table:String}
