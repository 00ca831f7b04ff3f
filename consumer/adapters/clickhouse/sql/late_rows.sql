-- The multiset difference by full-row hash: a row of the table counts 1, a row of a file -1. By the sorting key, rows of
-- the files that have no counterpart in the table have gone, and were not changed.
SELECT
    sum(missing),
    sum(refused),
    sum(surplus),
    sum(greatest(surplus - missing, 0)) AS lost,
    arraySlice(arrayFlatten(groupArray(late)), 1, $limit) AS late
FROM (
    SELECT
        sumIf(balance, balance > 0) AS missing,
        sumIf(balance, balance > 0 AND micros < $not_before) AS refused,
        sumIf(-balance, balance < 0) AS surplus,
        groupArrayIf($limit)((hash, balance, micros), balance > 0 AND micros >= $not_before) AS late
    FROM (
        SELECT
            _icehaul_hash AS hash,
            any(_icehaul_key) AS key,
            sum(_icehaul_sign) AS balance,
            any(_icehaul_micros) AS micros
        FROM ($hashes)
        WHERE _icehaul_hash % $buckets IN ($chosen)
        GROUP BY hash
        HAVING balance != 0
    )
    GROUP BY key
)
