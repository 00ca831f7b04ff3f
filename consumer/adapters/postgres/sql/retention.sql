-- name: parked
-- Of the ticks that a halted stream keeps, and of the hints of one upstream, the one that asks for most asks for all.
WITH latest AS (
    SELECT DISTINCT ON (stream, event ->> 'type', event ->> 'upstream') number, stream, event ->> 'type' AS type,
           event ->> 'upstream' AS upstream
    FROM offload_parked
    WHERE event ->> 'type' IN ('icehaul.tick.v1', 'icehaul.batch.committed.v1')
      AND event ->> 'upstream' IS DISTINCT FROM stream
    ORDER BY stream, event ->> 'type', event ->> 'upstream', (event ->> 'cutoff')::timestamptz DESC, number DESC
)
DELETE FROM offload_parked WHERE number = ANY (ARRAY(
    SELECT parked.number
    FROM offload_parked AS parked
    JOIN latest ON latest.stream = parked.stream AND latest.type = parked.event ->> 'type'
               AND latest.upstream IS NOT DISTINCT FROM parked.event ->> 'upstream' AND latest.number <> parked.number
    WHERE parked.parked < clock_timestamp() - %(young)s::interval
    ORDER BY parked.number
    LIMIT %(limit)s
))

-- name: emissions
-- Of partitions that the source was seen without. Where none of a stream are known, as after a repair, nothing is.
DELETE FROM offload_emissions WHERE ctid = ANY (ARRAY(
    SELECT emission.ctid
    FROM offload_emissions AS emission
    WHERE emission.sent < clock_timestamp() - %(age)s::interval
      AND EXISTS (SELECT FROM offload_partitions AS known WHERE known.stream = emission.stream)
      AND NOT EXISTS (SELECT FROM offload_partitions AS known
                      WHERE known.stream = emission.stream AND known.partition_id = emission.partition_id)
    LIMIT %(limit)s
))

-- name: differences
-- Of windows that lie before everything that the source was seen to hold: nothing of them is compared any more.
DELETE FROM offload_differences WHERE ctid = ANY (ARRAY(
    SELECT difference.ctid
    FROM offload_differences AS difference
    JOIN (SELECT stream, min(first) AS first FROM offload_partitions GROUP BY stream) AS oldest USING (stream)
    WHERE difference.compared < clock_timestamp() - %(age)s::interval
      AND difference.lower < oldest.first
      AND NOT EXISTS (SELECT FROM offload_batches AS done
                      WHERE done.stream = difference.stream AND done.lower = difference.lower
                        AND done.kind IN ('window', 'backfill') AND done.status IN ('published', 'empty')
                        AND done.upper > oldest.first)
    LIMIT %(limit)s
))
