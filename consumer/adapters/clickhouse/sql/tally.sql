-- Rows by window: each row is put to the greatest lower bound that is not above it, counted from the first one.
SELECT
    roundDown(toUInt64(_icehaul_micros - $origin), $bounds) AS bound,
    count() AS rows,
    sum(_icehaul_hash) AS digest
FROM
(
    SELECT
        toUnixTimestamp64Micro(CAST($time AS DateTime64(6, 'UTC'))) AS _icehaul_micros,
        $digest AS _icehaul_hash
    FROM $rows
)
GROUP BY bound
