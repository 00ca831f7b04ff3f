-- The captured rows of one table once more, {days} days later, {copies} times over, each copy {spread} s later.
INSERT INTO market.{table}
SELECT
    exchange_timestamp + INTERVAL {days} DAY + INTERVAL (copy * {spread}) SECOND AS exchange_timestamp,
    sequence_number + (({days} * 1000) + copy + 1) * 100000000000 AS sequence_number,
    * EXCEPT (exchange_timestamp, sequence_number)
FROM market.{table}
CROSS JOIN (SELECT number AS copy FROM numbers({copies})) AS copies
WHERE toDate(exchange_timestamp) = '{captured}'
