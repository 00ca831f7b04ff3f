-- Sends each close when it is found, and again after 1, 2, 4, 8, ... refreshes: a refresh counts as done, too, where the
-- broker did not take its messages. What was lost while the broker was away is sent after the same time once more.
CREATE MATERIALIZED VIEW $send_closes
REFRESH EVERY $every SECOND APPEND TO $close_events
AS
WITH
    intDiv(toUnixTimestamp(now()), $every) - intDiv(toUnixTimestamp(found), $every) AS age,
    lower(hex(SHA1(arrayStringConcat(
        [concat(unhex('$namespace'), 'icehaul.partition.closed.v1'), toString(stream), partition_id, content_id], '|')))
    ) AS hash
SELECT
    stream AS _key,
    '1.0' AS specversion,
    $uuid AS id,
    '$source' AS source,
    'icehaul.partition.closed.v1' AS type,
    concat(replaceOne(toString(modified), ' ', 'T'), 'Z') AS time,
    CAST(
        (
            stream,
            concat(replaceOne(toString(cutoff), ' ', 'T'), 'Z'),
            partition_id,
            content_id,
            table,
            (rows, min_block, max_block, data_version)
        )
        AS Tuple(
            stream String,
            cutoff String,
            partition_id String,
            content_id String,
            table String,
            content Tuple(rows UInt64, min_block Int64, max_block Int64, data_version Int64))
    ) AS data
FROM $closes FINAL
WHERE stream IN ($streams) AND age >= 0 AND bitCount(toUInt64(greatest(age, 0))) <= 1
COMMENT $comment
