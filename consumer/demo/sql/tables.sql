-- The hot tier of a small market-data platform: three bronze tables as captured, silver and gold derived.

-- block
CREATE DATABASE IF NOT EXISTS {database}

-- block
CREATE TABLE IF NOT EXISTS {database}.bronze_trades_binance
(
    exchange_timestamp DateTime64(6, 'UTC'),
    sequence_number    UInt64,
    symbol             LowCardinality(String),
    price              Decimal(18, 8),
    quantity           Decimal(18, 8),
    buyer_maker        Bool
)
ENGINE = MergeTree
PARTITION BY toDate(exchange_timestamp)
ORDER BY (symbol, exchange_timestamp, sequence_number)

-- block
CREATE TABLE IF NOT EXISTS {database}.bronze_book_coinbase
(
    exchange_timestamp DateTime64(6, 'UTC'),
    sequence_number    UInt64,
    product            LowCardinality(String),
    side               Enum8('buy' = 1, 'sell' = 2),
    price              Decimal(28, 10),
    size               Decimal(28, 10),
    received_at        DateTime64(6, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toDate(exchange_timestamp)
ORDER BY (product, exchange_timestamp, sequence_number)

-- block
CREATE TABLE IF NOT EXISTS {database}.bronze_book_kraken
(
    exchange_timestamp DateTime64(6, 'UTC'),
    sequence_number    UInt64,
    pair               LowCardinality(String),
    side               Enum8('bid' = 1, 'ask' = 2),
    price              Decimal(28, 10),
    volume             Decimal(28, 10),
    kind               LowCardinality(String),
    received_at        DateTime64(6, 'UTC')
)
ENGINE = MergeTree
-- Snapshots hold levels that were set years ago: days would make hundreds of partitions.
PARTITION BY toYYYYMM(exchange_timestamp)
ORDER BY (pair, exchange_timestamp, sequence_number)

-- block
CREATE TABLE IF NOT EXISTS {database}.silver_trades
(
    exchange_timestamp DateTime64(6, 'UTC'),
    sequence_number    UInt64,
    exchange           LowCardinality(String),
    symbol             LowCardinality(String),
    taker_side         Enum8('buy' = 1, 'sell' = 2),
    price              Decimal(18, 8),
    quantity           Decimal(18, 8),
    notional           Decimal(38, 16)
)
ENGINE = MergeTree
PARTITION BY toDate(exchange_timestamp)
ORDER BY (symbol, exchange_timestamp, sequence_number)

-- block
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.silver_trades_from_binance TO {database}.silver_trades AS
SELECT
    exchange_timestamp,
    sequence_number,
    'binance' AS exchange,
    symbol,
    if(buyer_maker, 'sell', 'buy') AS taker_side,
    price,
    quantity,
    toDecimal128(price, 8) * quantity AS notional
FROM {database}.bronze_trades_binance
