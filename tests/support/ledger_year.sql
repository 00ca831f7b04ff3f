-- So many :ticks of ten streams (35,040 are a year), a window each quarter of an hour with a file each, and what :days of
-- that leave in every other table; the source holds the last third of them.
INSERT INTO offload_watermarks (stream, watermark, last_upper, epoch, start, source_uuid, target_uuid)
SELECT 'stream_' || n, '2025-01-01', '2025-01-01', 35040, '2024-01-02', gen_random_uuid(), gen_random_uuid()
FROM generate_series(0, 9) AS n;

INSERT INTO offload_batches (
    batch_id, stream, kind, lower, upper, generation, status, rows, bytes, digest, snapshot_id, kafka_topic, kafka_partition,
    kafka_offset, event_ids, trace_id, epoch, owner, error, started, ended, lateness, base_rows, base_digest
)
SELECT md5(stream || '/' || number)::uuid, stream, kind, lower, lower + interval '15 minutes', 1, status, 1000, 20000,
       '0123456789abcdef', CASE status WHEN 'published' THEN number END, 'icehaul.events', 0, number, ARRAY['event-' || number],
       '0af7651916cd43dd8448eb211c80319c', number + 1, 'host:1:worker', CASE status WHEN 'failed' THEN 'no space left' END,
       lower + interval '20 minutes', lower + interval '21 minutes',
       CASE kind WHEN 'supplement' THEN '{1,2,3}'::bigint[] END, CASE kind WHEN 'supplement' THEN 1000 END,
       CASE kind WHEN 'supplement' THEN '0123456789abcdef' END
FROM (SELECT 'stream_' || n AS stream, number, timestamptz '2024-01-02' + number * interval '15 minutes' AS lower,
             CASE WHEN number % 101 = 7 THEN 'supplement' ELSE 'window' END AS kind,
             CASE WHEN number % 997 = 3 THEN 'failed' ELSE 'published' END AS status
      FROM generate_series(0, 9) AS n CROSS JOIN generate_series(0, :ticks - 1) AS number) AS made;

INSERT INTO offload_attempts (prefix, stream, batch_id, epoch, created)
SELECT 's3://lake/' || stream || '/' || batch_id, stream, batch_id, epoch, started FROM offload_batches;

INSERT INTO offload_files (path, prefix, stream, batch_id, unit, rows, bytes, digest, epoch, created)
SELECT prefix || '/0.parquet', prefix, stream, batch_id, 0, 1000, 20000, '0123456789abcdef', epoch, created
FROM offload_attempts;

INSERT INTO offload_partitions (stream, partition_id, rows, min_block, max_block, data_version, first, last, pending, watermark, exact)
SELECT 'stream_' || n, 'day-' || number, 96000, 1, 96, 0, lower, lower + interval '23 hours', 0, '2025-01-01', true
FROM (SELECT n, number, timestamptz '2024-01-02' + number * interval '1 day' AS lower
      FROM generate_series(0, 9) AS n CROSS JOIN generate_series(:days * 2 / 3, :days - 1) AS number) AS made;

INSERT INTO offload_differences (stream, lower, rows, digest, compared)
SELECT stream, lower, 999, '0123456789abcdef', lower + interval '1 day' FROM offload_batches WHERE kind = 'window' AND epoch % 10 = 1;

INSERT INTO offload_findings (stream, kind, lower, upper, rows, detail, found, accepted)
SELECT stream, 'deleted', lower, upper, 1, 'one row is gone', lower + interval '1 day', lower + interval '2 days'
FROM offload_batches WHERE kind = 'window' AND epoch % 100 = 1;

INSERT INTO offload_drops (drop_id, stream, partition_id, quarantine, lower, upper, content_id, rows, bytes, digest, state, requested_by, epoch, started, ended)
SELECT gen_random_uuid(), 'stream_' || n, 'day-' || number, 'market.quarantine', lower, lower + interval '1 day', 'c', 96000, 1,
       '0123456789abcdef', 'dropped', 'me', 1, lower, lower
FROM (SELECT n, number, timestamptz '2024-01-02' + number * interval '1 day' AS lower
      FROM generate_series(0, 9) AS n CROSS JOIN generate_series(0, :days * 2 / 3 - 1) AS number) AS made;

INSERT INTO offload_backfills (request_id, stream, lower, upper, position, state, requested_by, ended)
SELECT gen_random_uuid(), 'stream_' || n, '2020-01-01', '2020-02-01', '2020-02-01', 'done', 'me', now()
FROM generate_series(0, 9) AS n CROSS JOIN generate_series(0, 199);

INSERT INTO offload_emissions (stream, partition_id, content_id, cutoff, event_id, sent)
SELECT 'stream_' || n, 'day-' || number, 'c', lower, 'close-' || number, lower + interval '1 day'
FROM (SELECT n, number, timestamptz '2024-01-02' + number * interval '1 day' AS lower
      FROM generate_series(0, 9) AS n CROSS JOIN generate_series(0, :days - 1) AS number) AS made;

-- One stream stands still, and ticks go on, and so do the hints of its upstream; Kafka was away for a day.
INSERT INTO offload_parked (stream, event_id, event, parked)
SELECT 'stream_0', 'tick-' || number,
       jsonb_build_object('id', 'tick-' || number, 'type', 'icehaul.tick.v1', 'stream', 'stream_0', 'cutoff', at, 'source', '/t', 'time', at),
       at
FROM (SELECT number, timestamptz '2024-07-01' + number * interval '15 minutes' AS at FROM generate_series(0, :ticks / 2) AS number) AS made;

INSERT INTO offload_parked (stream, event_id, event, parked)
SELECT 'stream_0', 'hint-' || number,
       jsonb_build_object('id', 'hint-' || number, 'type', 'icehaul.batch.committed.v1', 'stream', 'stream_0', 'cutoff', at, 'source', '/s',
                          'time', at, 'upstream', 'stream_' || 1 + number % 2),
       at
FROM (SELECT number, timestamptz '2024-07-01' + number * interval '15 minutes' AS at FROM generate_series(0, 99) AS number) AS made;

INSERT INTO offload_parked (stream, event_id, event, parked)
SELECT 'stream_0', 'close-' || number,
       jsonb_build_object('id', 'close-' || number, 'type', 'icehaul.partition.closed.v1', 'stream', 'stream_0', 'cutoff', now(), 'source', '/s',
                          'time', now(), 'partition_id', 'day-' || number),
       now() - interval '1 day'
FROM generate_series(0, 2) AS number;

INSERT INTO offload_outbox (stream, event_id, event)
SELECT 'stream_' || number % 5, 'hint-' || number, '{}' FROM generate_series(0, 479) AS number;

INSERT INTO offload_publishes (snapshot_id, stream, batch_id, epoch, landing)
SELECT n, 'stream_' || n, gen_random_uuid(), 1, '{"batch": {}}' FROM generate_series(0, 9) AS n;
