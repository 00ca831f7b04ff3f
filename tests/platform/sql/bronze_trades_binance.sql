-- Trades spread evenly over a stretch of time: every symbol trades all the time.
INSERT INTO {database}.bronze_trades_binance
SELECT
    fromUnixTimestamp64Micro({lower} + intDiv(number * {length}, {rows}), 'UTC') AS traded_at,
    {first} + number AS sequence,
    concat('S', toString(number % {symbols}), 'USDT') AS traded,
    toDecimal64(20000 + cityHash64(number) % 1000000, 8) / 100 AS paid,
    toDecimal64(1 + cityHash64(number, 1) % 100000, 8) / 10000 AS traded_quantity,
    cityHash64(number, 2) % 2 = 0 AS maker
FROM numbers({rows})
