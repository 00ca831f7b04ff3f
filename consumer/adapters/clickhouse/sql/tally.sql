-- Rows by window: each row is put to the greatest lower bound that is not above it, counted from the first one.
SELECT
    roundDown(toUInt64(toUnixTimestamp64Micro(CAST($time AS DateTime64(6, 'UTC'))) - $origin), $bounds) AS bound,
    count() AS rows,
    sum($digest) AS digest
FROM $rows
GROUP BY bound
