INSERT INTO {database}.{table}
SELECT
    toStartOfInterval(exchange_timestamp, INTERVAL {minutes} MINUTE, 'UTC') AS bar_start,
    exchange,
    symbol,
    argMin(price, (exchange_timestamp, sequence_number)) AS open,
    max(price) AS high,
    min(price) AS low,
    argMax(price, (exchange_timestamp, sequence_number)) AS close,
    sum(quantity) AS volume,
    sum(notional) AS notional,
    count() AS trades
FROM {database}.silver_trades
WHERE exchange_timestamp >= {lower} AND exchange_timestamp < {upper} AND symbol LIKE '{symbols}'
GROUP BY bar_start, exchange, symbol
