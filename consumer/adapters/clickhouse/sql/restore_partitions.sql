SELECT partition_id
FROM system.parts
WHERE database = {database:String} AND table = {table:String} AND active
GROUP BY partition_id
HAVING sum(rows) > 0
ORDER BY partition_id
