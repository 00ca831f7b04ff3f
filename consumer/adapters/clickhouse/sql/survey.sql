-- What the partitions of a table hold, and how it is defined, in one look. Rows of the first kind have no definition:
-- what merges preserve, and inserts and mutations change. A part that no mutation touched has its lowest block number
-- for a data version. Patch parts (of lightweight updates) have partitions of their own, and hold no rows: they are
-- mutations of the partition that they patch.
-- Flat: nested queries take a server longer to plan than these to run.
SELECT
    $partition AS _icehaul_partition,
    '' AS definition,
    toInt64(sumIf(rows, NOT startsWith(partition_id, 'patch-'))) AS partition_rows,
    toInt64(minIf(min_block_number, NOT startsWith(partition_id, 'patch-'))) AS min_block,
    toInt64(maxIf(max_block_number, NOT startsWith(partition_id, 'patch-'))) AS max_block,
    toInt64(max(if(data_version = min_block_number, 0, data_version))) AS mutation,
    toInt64(toUnixTimestamp(max(modification_time))) AS modified
FROM $parts
WHERE database = {database:String} AND table = {table:String} AND active
GROUP BY _icehaul_partition
HAVING partition_rows > 0
UNION ALL
$version
