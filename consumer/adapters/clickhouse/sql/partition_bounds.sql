-- ClickHouse answers count, min and max of a column of the partition key from the parts' metadata, and fails where it
-- would have to read rows for them (force_optimize_projection).
SELECT
    $partition AS _icehaul_partition,
    count() AS rows,
    toUnixTimestamp64Micro(CAST(min($time) AS DateTime64(6, 'UTC'))) AS first,
    toUnixTimestamp64Micro(CAST(max($time) AS DateTime64(6, 'UTC'))) AS last,
    $row_bytes AS row_bytes
FROM $table
WHERE $unchanged
GROUP BY _icehaul_partition
HAVING last >= {lower:Int64} AND first < {upper:Int64}
ORDER BY first
LIMIT {most:UInt64}
