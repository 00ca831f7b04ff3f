-- The table of the stream in icehaul.yaml: replace both by your own.
CREATE DATABASE IF NOT EXISTS market;
CREATE TABLE IF NOT EXISTS market.trades
(
    traded_at DateTime64(6, 'UTC'),
    sequence_number UInt64,
    symbol LowCardinality(String),
    price Decimal(18, 8),
    quantity Decimal(18, 8)
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(traded_at)
ORDER BY (symbol, traded_at, sequence_number);
