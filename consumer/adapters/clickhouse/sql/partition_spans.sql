-- First and last instant of partitions, and how many of their rows are not below a watermark.
SELECT
    _partition_id,
    toUnixTimestamp64Micro(CAST(min($time) AS DateTime64(6, 'UTC'))) AS first,
    toUnixTimestamp64Micro(CAST(max($time) AS DateTime64(6, 'UTC'))) AS last,
    countIf(NOT ($below)) AS pending
FROM $table
WHERE _partition_id IN ($partitions) AND $unchanged
GROUP BY _partition_id
