SELECT databases.engine, tables.engine, tables.comment
FROM (SELECT name, engine FROM system.databases WHERE name = {database:String}) AS databases
LEFT JOIN (
    SELECT database, engine, comment FROM system.tables WHERE database = {database:String} AND name = {table:String}
) AS tables ON tables.database = databases.name
