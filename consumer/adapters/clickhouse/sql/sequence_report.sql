-- A group is a set of rows with equal values in all sequence columns but the last.
SELECT
    sum(_icehaul_rows - _icehaul_distinct_values) AS repeated,
    sum(_icehaul_span - _icehaul_distinct_values) AS gaps
FROM
(
    SELECT
        toInt128(count()) AS _icehaul_rows,
        toInt128(uniqExact($last)) AS _icehaul_distinct_values,
        max($number) - min($number) + 1 AS _icehaul_span
    FROM $table
    WHERE $window
    GROUP BY $groups
)
