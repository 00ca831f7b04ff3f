-- A cut at the smallest key would leave nothing before it, so rows of that key never make one.
SELECT DISTINCT $keys
FROM
(
    SELECT
        $columns,
        row_number() OVER (ORDER BY $columns) AS _icehaul_number,
        rank() OVER (ORDER BY $columns) AS _icehaul_place
    FROM $table
    WHERE $window
)
WHERE (_icehaul_number - 1) % {every:UInt64} = 0 AND _icehaul_place > 1
ORDER BY $columns
