-- A ledger as months of work leave it: 200 streams and 100,000 batches, half of them of one stream; the newest are an hour old.
INSERT INTO offload_watermarks (stream, watermark, last_upper, generation, epoch, state, halt_reason, halt_remedy)
SELECT 'stream_' || to_char(n, 'FM000'), end_, end_, 1, 1,
       CASE WHEN n IN (3, 7) THEN 'halted' ELSE 'active' END,
       CASE n WHEN 3 THEN '<img src=x onerror="window.stolen=1"><script>window.stolen=1</script> ' || repeat('x', 200)
              WHEN 7 THEN 'the target table has a snapshot that icehaul did not commit' END,
       CASE n WHEN 3 THEN 'see <b onclick="window.stolen=1">the log</b>' WHEN 7 THEN 'icehaul repair stream_007' END
FROM (SELECT n, date_trunc('minute', now()) - interval '1 hour' - n * n * interval '1 minute' AS end_
      FROM generate_series(0, 199) AS n) AS made;

INSERT INTO offload_batches (
    batch_id, stream, kind, lower, upper, generation, status, rows, bytes, digest, snapshot_id, kafka_topic, kafka_partition,
    kafka_offset, event_ids, trace_id, epoch, owner, attempts, error, started, ended, base_rows, base_digest
)
SELECT md5(stream || '/' || number)::uuid, stream,
       CASE WHEN late THEN 'supplement' ELSE 'window' END,
       upper_ - interval '15 minutes', upper_, 1, status,
       CASE status WHEN 'published' THEN 1000 + (number * 7919) % 250000 ELSE 0 END,
       CASE status WHEN 'published' THEN 20000 + (number * 7919) % 5000000 ELSE 0 END,
       CASE status WHEN 'published' THEN '0123456789abcdef' END,
       CASE status WHEN 'published' THEN 9007199254740993 + number END,
       'icehaul.events', 0, number, ARRAY['event-' || number], '0af7651916cd43dd8448eb211c80319c', 1, 'host:1:worker', 1 + number % 2,
       CASE status WHEN 'failed' THEN '<script>window.stolen=1</script> no space left on device' END,
       upper_ + interval '5 minutes', upper_ + interval '5 minutes' + (1 + number % 40) * interval '1 second',
       CASE WHEN late THEN 1000 END, CASE WHEN late THEN '0123456789abcdef' END
FROM (SELECT stream, number, watermark - number * interval '15 minutes' AS upper_, number % 23 = 5 AS late,
             CASE WHEN number = 2 THEN 'failed' WHEN number % 11 = 4 AND number % 23 <> 5 THEN 'empty' ELSE 'published' END AS status
      FROM offload_watermarks AS known
      CROSS JOIN LATERAL generate_series(0, CASE known.stream WHEN 'stream_000' THEN 49999 ELSE 251 END) AS number
     ) AS made;

INSERT INTO offload_attempts (prefix, stream, batch_id, epoch)
SELECT 's3://lake/' || stream || '/' || batch_id, stream, batch_id, 1 FROM offload_batches WHERE status = 'published' AND snapshot_id % 50 = 0;

INSERT INTO offload_files (path, prefix, stream, batch_id, unit, rows, bytes, digest, epoch)
SELECT prefix || '/' || to_char(n, 'FM00000') || '.parquet', prefix, stream, batch_id, n, 100, 2000, '0123456789abcdef', 1
FROM offload_attempts CROSS JOIN generate_series(0, 5) AS n;

INSERT INTO offload_files (path, prefix, stream, batch_id, unit, rows, bytes, digest, epoch)
SELECT prefix || '/more-' || to_char(n, 'FM00000') || '.parquet', prefix, stream, batch_id, n, 100, 2000, '0123456789abcdef', 1
FROM (SELECT * FROM offload_attempts WHERE stream = 'stream_000' ORDER BY prefix LIMIT 1) AS chosen CROSS JOIN generate_series(0, 1199) AS n;

INSERT INTO offload_findings (stream, kind, lower, upper, rows, detail)
SELECT 'stream_005', 'changed', watermark - interval '1 day', watermark, 5, '5 rows were changed after they were read'
FROM offload_watermarks WHERE stream = 'stream_005';

ANALYZE;
