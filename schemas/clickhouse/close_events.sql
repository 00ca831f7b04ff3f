-- What is inserted here is sent; nothing is ever read. Counts are numbers in JSON, also on servers before 25.8.
CREATE TABLE $close_events
(
    _key String,
    specversion String,
    id String,
    source String,
    type String,
    time String,
    data Tuple(
        stream String,
        cutoff String,
        partition_id String,
        content_id String,
        table String,
        content Tuple(rows UInt64, min_block Int64, max_block Int64, data_version Int64))
)
ENGINE = Kafka($collection)
SETTINGS kafka_topic_list = $topic, kafka_format = 'JSONEachRow', output_format_json_quote_64bit_integers = 0
COMMENT $comment
