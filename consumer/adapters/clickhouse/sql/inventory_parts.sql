-- What merges preserve, and inserts and mutations change. A part that no mutation touched has its lowest block
-- number for a data version. Patch parts (of lightweight updates) have partitions of their own, and hold no rows: they
-- are mutations of the partition that they patch.
SELECT
    $partition AS _icehaul_partition,
    sumIf(rows, NOT startsWith(partition_id, 'patch-')) AS partition_rows,
    minIf(min_block_number, NOT startsWith(partition_id, 'patch-')) AS min_block,
    maxIf(max_block_number, NOT startsWith(partition_id, 'patch-')) AS max_block,
    max(if(data_version = min_block_number, 0, data_version)) AS mutation,
    toUnixTimestamp(max(modification_time)) AS modified
FROM $parts
WHERE database = {database:String} AND table = {table:String} AND active
GROUP BY _icehaul_partition
HAVING partition_rows > 0
ORDER BY _icehaul_partition
