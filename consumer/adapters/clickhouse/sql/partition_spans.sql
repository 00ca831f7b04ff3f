-- First and last instant of partitions, and how many of their rows are not below a watermark.
SELECT
    $partition AS _icehaul_partition,
    toUnixTimestamp64Micro(CAST(min($time) AS DateTime64(6, 'UTC'))) AS first,
    toUnixTimestamp64Micro(CAST(max($time) AS DateTime64(6, 'UTC'))) AS last,
    countIf(NOT ($below)) AS pending
FROM $table
WHERE $chosen AND $unchanged
GROUP BY _icehaul_partition
