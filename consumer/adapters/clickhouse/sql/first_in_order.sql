-- In the order of the primary key: the first granule of each part is enough.
SELECT toUnixTimestamp64Micro(CAST($time AS DateTime64(6, 'UTC'))) AS _icehaul_first
FROM $table
WHERE $window
ORDER BY $time
LIMIT 1
