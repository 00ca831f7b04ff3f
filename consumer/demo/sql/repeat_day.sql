-- The captured rows of one table once more, {days} days later, {copies} times over, each copy {spread} s later.
INSERT INTO {database}.{table}
SELECT
    once.exchange_timestamp + INTERVAL {days} DAY + INTERVAL (copies.copy * {spread}) SECOND AS moved,
    once.sequence_number + ({days} * 1000 + copies.copy + 1) * 100000000000 AS renumbered,
    once.* EXCEPT (exchange_timestamp, sequence_number)
FROM {database}.{table} AS once
CROSS JOIN (SELECT number AS copy FROM numbers({copies})) AS copies
WHERE toDate(once.exchange_timestamp) = '{captured}'
