SELECT
    t.name,
    t.engine,
    t.engine_full,
    t.create_table_query,
    t.partition_key,
    t.sorting_key,
    t.total_rows,
    t.total_bytes,
    t.uuid != toUUID('00000000-0000-0000-0000-000000000000') AS has_uuid,
    c.columns
FROM system.tables AS t
LEFT JOIN
(
    SELECT table, groupArray(array(name, type, default_kind, comment)) AS columns
    FROM (SELECT table, name, type, default_kind, comment FROM system.columns WHERE database = {database:String} ORDER BY table, position)
    GROUP BY table
) AS c ON c.table = t.name
WHERE t.database = {database:String} AND NOT t.is_temporary AND ({table:String} = '' OR t.name = {table:String})
ORDER BY t.name
