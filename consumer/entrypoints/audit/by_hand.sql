-- check: tiers on ClickHouse
$hot

-- check: tiers on Spark
SELECT count(*) FROM icehaul.$target

-- check: windows on Postgres
-- Rows that this returns are gaps and overlaps; the last window ends at the watermark. Only what was backfilled, below
-- the start, may have gaps.
SELECT lower, upper, previous
FROM (
    SELECT batch.lower, batch.upper, known.start,
           lag(batch.upper, 1, CASE WHEN batch.lower < known.start THEN batch.lower ELSE known.start END)
               OVER (ORDER BY batch.lower, batch.upper) AS previous
    FROM offload_batches AS batch
    JOIN offload_watermarks AS known USING (stream)
    WHERE stream = '$stream' AND batch.kind IN ('window', 'backfill') AND batch.status IN ('published', 'empty')
) AS windows
WHERE lower < previous OR (lower > previous AND lower > start)

-- check: record on Postgres
-- Digests are added modulo 2^64.
SELECT rows, lpad(to_hex((CASE WHEN digest < 9223372036854775808 THEN digest ELSE digest - 18446744073709551616 END
)::bigint), 16, '0') AS digest
FROM (
    SELECT
        coalesce(sum(rows), 0) AS rows,
        mod(
            coalesce(sum(mod(('x' || digest)::bit(64)::bigint::numeric + 18446744073709551616, 18446744073709551616)), 0),
            18446744073709551616
        ) AS digest
    FROM offload_batches AS batch
    WHERE stream = '$stream' AND status = 'published' AND NOT EXISTS (
        SELECT FROM offload_batches AS later
        WHERE later.stream = batch.stream AND later.kind = 'replace-window' AND later.status = 'published'
          AND later.lower <= batch.lower AND later.upper > batch.lower AND later.revision > batch.revision
    )
) AS recorded

-- check: evidence on Postgres
SELECT watermark, last_upper, generation, last_batch_id, target_uuid
FROM offload_watermarks
WHERE stream = '$stream'

-- check: evidence on Spark
SELECT snapshot_id, summary['icehaul.batch-id'], summary['icehaul.last-upper'], summary['icehaul.last-generation']
FROM icehaul.$target.snapshots
ORDER BY committed_at DESC

-- check: registered on Postgres
-- Those of earlier attempts at a batch stand here, too: the rows of the live ones add up to the batch's.
SELECT file.path, file.rows, file.bytes, batch.batch_id, batch.rows AS batch_rows
FROM offload_files AS file
JOIN offload_batches AS batch USING (batch_id)
WHERE file.stream = '$stream' AND batch.status = 'published'
ORDER BY file.path

-- check: registered on Spark
SELECT file_path, record_count, file_size_in_bytes FROM icehaul.$target.files ORDER BY file_path

-- check: stored on Spark
SELECT DISTINCT file_path, file_size_in_bytes FROM icehaul.$target.all_data_files

-- check: orphans on Postgres
-- Every file under one of these prefixes is accounted for; the others have to be in a snapshot, or metadata.
SELECT attempt.prefix, batch.status
FROM offload_attempts AS attempt
JOIN offload_batches AS batch USING (batch_id)
WHERE attempt.stream = '$stream'
ORDER BY attempt.prefix

-- check: findings on Postgres
SELECT kind, lower, upper, rows, detail FROM offload_findings WHERE stream = '$stream' AND accepted IS NULL

-- check: state on Postgres
SELECT state, halt_reason, (SELECT count(*) FROM offload_parked WHERE stream = '$stream') AS parked
FROM offload_watermarks
WHERE stream = '$stream'
