-- Tables whose names begin like those of staging tables, with what their comments say.
SELECT name, comment, engine_full
FROM system.tables
WHERE database = {database:String} AND startsWith(name, {prefix:String})
ORDER BY name
