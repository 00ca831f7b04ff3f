-- Rows by window: each row is put to the greatest lower bound that is not above it, counted from the first one.
SELECT
    roundDown(toUInt64(toUnixTimestamp64Micro(CAST($time AS DateTime64(6, 'UTC'))) - $origin), $bounds) AS bound,
    count() AS rows,
    toUInt64(0) AS digest
FROM $table
WHERE $window
GROUP BY bound
