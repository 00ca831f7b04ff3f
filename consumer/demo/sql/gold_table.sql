CREATE TABLE IF NOT EXISTS {database}.{table}
(
    bar_start DateTime('UTC'),
    exchange  LowCardinality(String),
    symbol    LowCardinality(String),
    open      Decimal(18, 8),
    high      Decimal(18, 8),
    low       Decimal(18, 8),
    close     Decimal(18, 8),
    volume    Decimal(38, 8),
    notional  Decimal(38, 16),
    trades    UInt64
)
ENGINE = MergeTree
PARTITION BY toDate(bar_start)
ORDER BY (symbol, bar_start, exchange)
