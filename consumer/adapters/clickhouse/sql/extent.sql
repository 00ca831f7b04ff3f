SELECT
    count() AS _icehaul_rows,
    toUnixTimestamp64Micro(CAST(min($time) AS DateTime64(6, 'UTC'))) AS _icehaul_first,
    toUnixTimestamp64Micro(CAST(max($time) AS DateTime64(6, 'UTC'))) AS _icehaul_last
FROM $table
WHERE $window
