-- ClickHouse answers min and max of a column of the partition key from the parts' metadata, without reading rows.
SELECT
    _partition_id,
    toUnixTimestamp64Micro(toDateTime64(min($time), 6, 'UTC')) AS first,
    toUnixTimestamp64Micro(toDateTime64(max($time), 6, 'UTC')) AS last
FROM $table
WHERE _partition_id IN ($partitions)
GROUP BY _partition_id
