-- Bytes per row are those of the whole table: counting them for the window would mean reading it.
SELECT
    count() AS rows,
    toUnixTimestamp64Micro(CAST(min($time) AS DateTime64(6, 'UTC'))) AS first,
    toUnixTimestamp64Micro(CAST(max($time) AS DateTime64(6, 'UTC'))) AS last,
    $row_bytes AS row_bytes
FROM $table
WHERE $window
