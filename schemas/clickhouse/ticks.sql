-- A tick for every stream at each wall-clock boundary, with the id that icehaul's emitter gives it. A boundary that was
-- missed is contained in the next one.
CREATE MATERIALIZED VIEW $ticks
REFRESH EVERY $tick SECOND APPEND TO $tick_events
AS
WITH
    toDateTime64(toDateTime(intDiv(toUnixTimestamp(now()), $tick) * $tick, 'UTC'), 6, 'UTC') AS boundary,
    replaceOne(toString(boundary), ' ', 'T') AS instant,
    lower(hex(SHA1(concat(unhex('$namespace'), 'icehaul.tick.v1|', stream, '|', instant, '+00:00')))) AS hash
SELECT
    stream AS _key,
    '1.0' AS specversion,
    $uuid AS id,
    '$source' AS source,
    'icehaul.tick.v1' AS type,
    concat(instant, 'Z') AS time,
    CAST((stream, concat(instant, 'Z')) AS Tuple(stream String, cutoff String)) AS data
FROM (SELECT arrayJoin([$streams]) AS stream)
COMMENT $comment
