-- Finds the partitions of one source table that are closed with a content that was not found before: nothing was written
-- to them for $quiet s, and newer data exists, or their period is past. First and last instant are read where the content
-- is new, and remembered otherwise.
CREATE MATERIALIZED VIEW $find_closes
REFRESH EVERY $every SECOND APPEND TO $closes
AS
WITH
    contents AS
    (
        SELECT
            partition_id,
            sumIf(rows, NOT patch) AS partition_rows,
            minIf(min_block_number, NOT patch) AS min_block,
            maxIf(max_block_number, NOT patch) AS max_block,
            max(if(data_version = min_block_number, 0, data_version)) AS mutation,
            max(modification_time) AS modified,
            lower(substring(hex(SHA256(arrayStringConcat(
                [toString(partition_rows), toString(min_block), toString(max_block), toString(mutation)], '|'))), 1, 32)
            ) AS content_id
        FROM
        (
            -- Patch parts of lightweight updates are mutations of the partition that their own one is named after.
            SELECT
                replaceRegexpOne(parts.partition_id, '^patch-[0-9a-f]{32}-', '') AS partition_id,
                startsWith(parts.partition_id, 'patch-') AS patch,
                rows,
                min_block_number,
                max_block_number,
                data_version,
                modification_time
            FROM system.parts AS parts
            WHERE database = $database_text AND table = $table_text AND active
        )
        GROUP BY partition_id
        HAVING partition_rows > 0
    ),
    known AS
    (
        SELECT partition_id, content_id, first
        FROM $closes FINAL
        WHERE stream = $stream_text
            AND (partition_id, content_id) IN (SELECT partition_id, content_id FROM contents)
    ),
    extents AS
    (
        SELECT
            _partition_id AS partition_id,
            toDateTime64(min($time), 6, 'UTC') AS first,
            toDateTime64(max($time), 6, 'UTC') AS last
        FROM $source_table
        WHERE _partition_id IN
        (
            SELECT partition_id
            FROM contents
            WHERE (partition_id, content_id) NOT IN (SELECT partition_id, content_id FROM known)
        )
        GROUP BY _partition_id
    ),
    (SELECT max(first) FROM (SELECT first FROM extents UNION ALL SELECT first FROM known)) AS latest_start
SELECT
    $stream_text AS stream,
    contents.partition_id AS partition_id,
    content_id,
    $source_text AS table,
    $cutoff AS cutoff,
    first,
    partition_rows AS rows,
    min_block,
    max_block,
    mutation AS data_version,
    modified
FROM contents
INNER JOIN extents ON contents.partition_id = extents.partition_id
WHERE modified + INTERVAL $quiet SECOND <= now() AND (latest_start > last OR ($periodic AND cutoff <= now64(6)))
COMMENT $comment
