-- A group is a set of rows with equal values in all sequence columns but the last.
SELECT
    sum(rows - distinct_values) AS repeated,
    sum(span - distinct_values) AS gaps
FROM
(
    SELECT
        toInt128(count()) AS rows,
        toInt128(uniqExact($last)) AS distinct_values,
        max($number) - min($number) + 1 AS span
    FROM $table
    WHERE $window
    GROUP BY $groups
)
