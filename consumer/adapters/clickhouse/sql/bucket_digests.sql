-- Count and digest of rows by bucket of their hash: small enough to be compared, however many rows there are.
SELECT
    _icehaul_hash % $buckets AS bucket,
    count() AS rows,
    sum(_icehaul_hash) AS digest
FROM (SELECT $digest AS _icehaul_hash FROM ($rows))
GROUP BY bucket
