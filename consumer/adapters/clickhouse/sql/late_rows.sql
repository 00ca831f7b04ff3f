-- The multiset difference by full-row hash: a row of the table counts 1, a row of a file -1.
SELECT
    sumIf(balance, balance > 0) AS missing,
    sumIf(balance, balance > 0 AND micros < $not_before) AS refused,
    sumIf(-balance, balance < 0) AS surplus,
    groupArrayIf($limit)((hash, balance, micros), balance > 0 AND micros >= $not_before) AS late
FROM (
    SELECT hash, sum(sign) AS balance, any(micros) AS micros
    FROM ($hashes)
    WHERE hash % $buckets IN ($chosen)
    GROUP BY hash
    HAVING balance != 0
)
