-- First and last instant of partitions, and how many of their rows are not below a watermark.
SELECT
    $partition AS _icehaul_partition,
    toUnixTimestamp64Micro(CAST(min($time) AS DateTime64(6, 'UTC'))) AS _icehaul_first,
    toUnixTimestamp64Micro(CAST(max($time) AS DateTime64(6, 'UTC'))) AS _icehaul_last,
    countIf(NOT ($below)) AS _icehaul_pending
FROM $table
WHERE $chosen AND $unchanged
GROUP BY _icehaul_partition
