-- ClickHouse answers count, min and max of a column of the partition key from the parts' metadata, and fails where it
-- would have to read rows for them (force_optimize_projection).
SELECT
    $partition AS _icehaul_partition,
    count() AS _icehaul_rows,
    toUnixTimestamp64Micro(CAST(min($time) AS DateTime64(6, 'UTC'))) AS _icehaul_first,
    toUnixTimestamp64Micro(CAST(max($time) AS DateTime64(6, 'UTC'))) AS _icehaul_last,
    $row_bytes AS _icehaul_row_bytes
FROM $table
WHERE $unchanged
GROUP BY _icehaul_partition
HAVING _icehaul_last >= {lower:Int64} AND _icehaul_first < {upper:Int64}
ORDER BY _icehaul_first
LIMIT {most:UInt64}
