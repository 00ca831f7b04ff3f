INSERT INTO {database:Identifier}.{table:Identifier}
SELECT
    toDateTime64({lower:String}, 6, 'UTC') + toIntervalMicrosecond(intDiv(number * {span_us:UInt64}, {rows:UInt64})),
    number,
    ['BTC', 'ETH', 'ADA'][number % 3 + 1],
    toDecimal64(number % 100000, 8) / 7,
    toDecimal64(number % 1000, 8) / 3,
    if(number % 5 = 0, NULL, toString(number)),
    range(number % 3)::Array(String),
    map('k', toString(number % 10))
FROM numbers({rows:UInt64})
