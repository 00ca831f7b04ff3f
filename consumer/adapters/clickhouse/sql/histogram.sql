SELECT
    $bucket AS _icehaul_bucket,
    count() AS _icehaul_rows,
    $row_bytes AS _icehaul_row_bytes
FROM (SELECT CAST($time AS DateTime64(6, 'UTC')) AS _icehaul_instant FROM $table WHERE $window)
GROUP BY _icehaul_bucket
ORDER BY _icehaul_bucket
