-- ClickHouse answers min and max of a column of the partition key from the parts' metadata, without reading rows.
SELECT
    $partition AS _icehaul_partition,
    toUnixTimestamp64Micro(toDateTime64(min($time), 6, 'UTC')) AS _icehaul_first,
    toUnixTimestamp64Micro(toDateTime64(max($time), 6, 'UTC')) AS _icehaul_last
FROM $table
WHERE $chosen
GROUP BY _icehaul_partition
