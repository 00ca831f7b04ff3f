-- The multiset difference by full-row hash of both tiers: how many rows are in one of them only, and the first of them.
SELECT
    sumIf(hot - cold, hot > cold) AS missing,
    sumIf(cold - hot, cold > hot) AS surplus,
    groupArraySorted($limit)((micros, hash, hot, cold)) AS rows
FROM (
    SELECT
        _icehaul_hash AS hash,
        countIf(_icehaul_sign > 0) AS hot,
        countIf(_icehaul_sign < 0) AS cold,
        any(_icehaul_micros) AS micros
    FROM ($hashes)
    WHERE _icehaul_hash % $buckets IN ($chosen)
    GROUP BY hash
    HAVING hot != cold
)
