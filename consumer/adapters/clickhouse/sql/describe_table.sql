-- Without a subquery for a value: over a cluster each shard has to answer for itself.
SELECT
    toUInt32(shardNum()) AS shard,
    toString(t.uuid) AS uuid,
    t.engine AS engine,
    t.partition_key AS partition_key,
    t.sorting_key AS sorting_key,
    t.engine_full AS engine_full,
    serverTimezone() AS server_zone,
    t.create_table_query AS definition,
    c.columns AS columns
FROM system.tables AS t
LEFT JOIN
(
    SELECT database, table, groupArray(array(name, type, default_kind, default_expression)) AS columns
    FROM
    (
        SELECT database, table, name, type, default_kind, default_expression
        FROM system.columns
        WHERE database = {database:String} AND table = {table:String}
        ORDER BY position
    )
    GROUP BY database, table
) AS c ON c.database = t.database AND c.table = t.name
WHERE t.database = {database:String} AND t.name = {table:String}
