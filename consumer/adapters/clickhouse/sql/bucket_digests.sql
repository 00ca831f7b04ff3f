-- Count and digest of rows by bucket of their hash: small enough to be compared, however many rows there are.
SELECT
    hash % $buckets AS bucket,
    count() AS rows,
    sum(hash) AS digest
FROM (SELECT $digest AS hash FROM ($rows))
GROUP BY bucket
