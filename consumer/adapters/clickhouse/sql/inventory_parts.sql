-- What merges preserve, and inserts and mutations change. A part that no mutation touched has its lowest block
-- number for a data version.
SELECT
    $partition AS _icehaul_partition,
    sum(rows) AS partition_rows,
    min(min_block_number) AS min_block,
    max(max_block_number) AS max_block,
    max(if(data_version = min_block_number, 0, data_version)) AS mutation,
    toUnixTimestamp(max(modification_time)) AS modified
FROM $parts
WHERE database = {database:String} AND table = {table:String} AND active
GROUP BY _icehaul_partition
HAVING partition_rows > 0
ORDER BY _icehaul_partition
