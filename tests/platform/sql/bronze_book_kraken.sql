-- Updates of an order book, spread evenly over a stretch of time; one in a thousand is from a snapshot.
INSERT INTO {database}.bronze_book_kraken
    (exchange_timestamp, sequence_number, pair, side, price, volume, kind, received_at)
SELECT
    fromUnixTimestamp64Micro({lower} + intDiv(number * {length}, {rows}), 'UTC') AS updated_at,
    {first} + number AS sequence,
    concat('S', toString(number % {symbols}), '/USD') AS traded,
    if(cityHash64(number) % 2 = 0, 'bid', 'ask') AS book_side,
    toDecimal128(20000 + cityHash64(number, 1) % 1000000, 10) / 100 AS level,
    toDecimal128(cityHash64(number, 2) % 1000000, 10) / 10000 AS level_volume,
    if(number % 1000 = 0, 'snapshot', 'update') AS message_kind,
    updated_at + toIntervalMicrosecond(cityHash64(number, 3) % 50000) AS received
FROM numbers({rows})
