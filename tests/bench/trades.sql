-- Trades of one day at even distances: 200 symbols, prices that wander, one in five with a note.
SELECT
    toDateTime64({day:String} || ' 00:00:00', 6, 'UTC') + toIntervalMicrosecond(intDiv(number * 86399000000, {rows:UInt64})),
    number,
    'SYM' || toString(cityHash64(number) % 200),
    ['binance', 'coinbase', 'kraken', 'bitstamp'][cityHash64(number, 1) % 4 + 1],
    if(cityHash64(number, 2) % 2 = 0, 'buy', 'sell'),
    toDecimal64(20000 + 500 * sin(number / 10000) + (cityHash64(number, 3) % 10000) / 1000, 8),
    toDecimal64((cityHash64(number, 4) % 1000000) / 10000, 8),
    hex(cityHash64(number, 5)),
    if(number % 5 = 0, 'note ' || toString(number % 1000), NULL),
    arrayMap(i -> ['spot', 'maker', 'block', 'retail'][i + 1], range(cityHash64(number, 6) % 4)),
    map('venue', toString(cityHash64(number, 7) % 20), 'client', toString(cityHash64(number, 8) % 500))
FROM numbers({rows:UInt64})
