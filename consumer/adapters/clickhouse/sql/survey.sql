-- What the partitions of a table hold, as inventory_parts.sql tells, and how it is defined, in one look. Rows of the
-- first kind have no definition. Flat: nested queries take a server longer to plan than these to run.
SELECT
    $partition AS _icehaul_partition,
    '' AS definition,
    toInt64(sumIf(rows, NOT startsWith(partition_id, 'patch-'))) AS partition_rows,
    toInt64(minIf(min_block_number, NOT startsWith(partition_id, 'patch-'))) AS min_block,
    toInt64(maxIf(max_block_number, NOT startsWith(partition_id, 'patch-'))) AS max_block,
    toInt64(max(if(data_version = min_block_number, 0, data_version))) AS mutation
FROM $parts
WHERE database = {database:String} AND table = {table:String} AND active
GROUP BY _icehaul_partition
HAVING partition_rows > 0
UNION ALL
$version
