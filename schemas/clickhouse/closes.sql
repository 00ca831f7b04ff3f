-- The memory: the last close of each partition. What is found here with the same content is not found again.
CREATE TABLE IF NOT EXISTS $closes
(
    stream LowCardinality(String),
    partition_id String,
    content_id String,
    table String,
    cutoff DateTime64(6, 'UTC'),
    first DateTime64(6, 'UTC'),
    rows UInt64,
    min_block Int64,
    max_block Int64,
    data_version Int64,
    modified DateTime('UTC'),
    found DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(found)
ORDER BY (stream, partition_id)
COMMENT $comment
