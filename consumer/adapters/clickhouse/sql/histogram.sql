SELECT
    $bucket AS bucket,
    count() AS rows,
    $row_bytes AS row_bytes
FROM (SELECT CAST($time AS DateTime64(6, 'UTC')) AS instant FROM $table WHERE $window)
GROUP BY bucket
ORDER BY bucket
