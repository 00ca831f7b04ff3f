SELECT name, engine_full
FROM system.tables
WHERE database = {database:String} AND startsWith(name, {prefix:String})
ORDER BY name
