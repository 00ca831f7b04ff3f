-- Updates of an order book, spread evenly over a stretch of time.
INSERT INTO {database}.bronze_book_coinbase
    (exchange_timestamp, sequence_number, product, side, price, size, received_at)
SELECT
    fromUnixTimestamp64Micro({lower} + intDiv(number * {length}, {rows}), 'UTC') AS updated_at,
    {first} + number AS sequence,
    concat('S', toString(number % {symbols}), '-USD') AS traded,
    if(cityHash64(number) % 2 = 0, 'buy', 'sell') AS book_side,
    toDecimal128(20000 + cityHash64(number, 1) % 1000000, 10) / 100 AS level,
    toDecimal128(cityHash64(number, 2) % 1000000, 10) / 10000 AS level_size,
    updated_at + toIntervalMicrosecond(cityHash64(number, 3) % 50000) AS received
FROM numbers({rows})
