SELECT partition_id, sum(bytes_on_disk) AS bytes
FROM system.parts
WHERE database = {database:String} AND table = {table:String} AND active
GROUP BY partition_id
