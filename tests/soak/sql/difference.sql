-- Rows of one side that the other does not have, copy by copy.
SELECT sum(greatest(copies, 0)) AS lost, sum(greatest(-copies, 0)) AS doubled
FROM
(
    SELECT {columns}, sum(of_this_side) AS copies
    FROM
    (
        SELECT {columns}, toInt64(1) AS of_this_side FROM {witness}
        UNION ALL
        SELECT {columns}, toInt64(-1) AS of_this_side FROM {found}
    )
    GROUP BY {columns}
)
