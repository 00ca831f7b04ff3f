-- What is inserted here is sent; nothing is ever read. _key is the message's key.
CREATE TABLE $tick_events
(
    _key String,
    specversion String,
    id String,
    source String,
    type String,
    time String,
    data Tuple(stream String, cutoff String)
)
ENGINE = Kafka($collection)
SETTINGS kafka_topic_list = $topic, kafka_format = 'JSONEachRow'
COMMENT $comment
