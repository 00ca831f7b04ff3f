-- name: attempts
SELECT attempt.prefix, attempt.batch_id, batch.status
FROM offload_attempts AS attempt
JOIN offload_batches AS batch USING (batch_id)
WHERE attempt.stream = %(stream)s
ORDER BY attempt.created, attempt.prefix

-- name: files
SELECT file.path, file.batch_id, file.bytes, file.rows, file.digest, file.kept, batch.status,
       batch.rows AS batch_rows, batch.digest AS batch_digest,
       EXISTS (
           SELECT FROM offload_batches AS later
           WHERE later.stream = batch.stream AND later.kind = 'replace-window' AND later.status = 'published'
             AND later.lower <= batch.lower AND later.upper > batch.lower AND later.revision > batch.revision
       ) AS superseded
FROM offload_files AS file
JOIN offload_batches AS batch USING (batch_id)
WHERE file.stream = %(stream)s
ORDER BY file.created, file.path
