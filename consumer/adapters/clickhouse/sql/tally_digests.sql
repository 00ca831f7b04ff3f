-- As tally_counts, with the digest of the rows' wire values.
SELECT
    roundDown(toUInt64(toUnixTimestamp64Micro(CAST($time AS DateTime64(6, 'UTC'))) - $origin), $bounds) AS bound,
    count() AS rows,
    sum($digest) AS digest
FROM ($rows)
GROUP BY bound
