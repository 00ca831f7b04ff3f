-- Trades of a symbol that nobody has traded before, in a stretch of time that was offloaded already.
INSERT INTO {database}.bronze_trades_binance
    (exchange_timestamp, sequence_number, symbol, price, quantity, buyer_maker)
SELECT
    fromUnixTimestamp64Micro({lower} + intDiv(number * {length}, {rows}), 'UTC'),
    {first} + number,
    '{symbol}',
    toDecimal64(30000 + number, 8) / 100,
    toDecimal64(1 + number, 8) / 10,
    number % 2 = 0
FROM numbers({rows})
