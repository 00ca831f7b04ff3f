-- What a ledger may hold from a migration on: rows of a running stream, and of one that is halted.

-- since: 1
INSERT INTO offload_watermarks (stream, watermark, last_upper, source_uuid, target_uuid, owner, lease_expires, epoch)
VALUES ('$stream', '$t0', '$t0', '$source', '$target', 'gone:1:a', now() - interval '1 hour', 3);
INSERT INTO offload_watermarks (stream, state, halt_reason, halt_remedy) VALUES ('sick', 'halted', 'why', 'how');
INSERT INTO offload_batches (batch_id, stream, kind, lower, upper, generation, status, rows, bytes, digest,
    snapshot_id, kafka_topic, kafka_partition, kafka_offset, event_ids, epoch, owner, ended)
VALUES ('$done', '$stream', 'window', '1900-01-01Z', '$t0', 1, 'published', 10, 200, '0123456789abcdef', 17, 'events',
        3, 7, '{tick-1}', 2, 'gone:1:a', now());
INSERT INTO offload_batches (batch_id, stream, kind, lower, upper, generation, status, epoch, owner, error, ended)
VALUES (gen_random_uuid(), 'sick', 'window', '1900-01-01Z', '$t0', 1, 'failed', 1, 'gone:1:a', 'broken', now());
INSERT INTO offload_attempts (prefix, stream, batch_id, epoch) VALUES ('s3://b/p', '$stream', '$done', 2);
INSERT INTO offload_files (path, prefix, stream, batch_id, unit, rows, bytes, digest, epoch)
VALUES ('s3://b/p/0.parquet', 's3://b/p', '$stream', '$done', 0, 10, 200, '0123456789abcdef', 2);
INSERT INTO offload_parked (stream, event_id, event) VALUES ('sick', 'tick-9', '{"id": "tick-9"}');
INSERT INTO offload_outbox (stream, event_id, event) VALUES ('bars', 'sent-1', '{"id": "sent-1"}');

-- since: 2
INSERT INTO offload_emitter (name, last_tick) VALUES ('default', '$t0');
INSERT INTO offload_emissions (stream, partition_id, content_id, cutoff, event_id)
VALUES ('$stream', '20260301', 'abc', '$t0', 'closed-1');

-- since: 3
INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
VALUES ('icehaul', 'bronze', 'ticks', 's3://b/m/1.metadata.json', 'TABLE');

-- since: 4
UPDATE offload_watermarks SET last_batch_id = '$done' WHERE stream = '$stream';
INSERT INTO offload_partitions (stream, partition_id, rows, min_block, max_block, data_version, first, last, pending,
    watermark, exact)
VALUES ('$stream', '20260301', 10, 1, 1, 1, '$t0', '$t0', 0, '$t0', true);
INSERT INTO offload_differences (stream, lower, rows, digest) VALUES ('$stream', '1900-01-01Z', 9, '0123456789abcdef');
INSERT INTO offload_findings (stream, kind, lower, upper, rows, detail)
VALUES ('$stream', 'deleted', '1900-01-01Z', '$t0', 1, 'a row is gone');

-- since: 5
INSERT INTO offload_drops (drop_id, stream, partition_id, quarantine, lower, upper, content_id, rows, bytes, state,
    requested_by, epoch, reason, ended)
VALUES (gen_random_uuid(), '$stream', '20250101', 'q.t', '2025-01-01Z', '2025-01-02Z', 'c', 5, 50, 'returned',
        'me', 1, 'differs', now());

-- since: 7
INSERT INTO offload_backfills (request_id, stream, lower, upper, position, state, requested_by)
VALUES (gen_random_uuid(), 'sick', '1950-01-01Z', '1960-01-01Z', '1955-01-01Z', 'open', 'me');

-- since: 12
UPDATE offload_watermarks SET schemas = '[{"since": "1900-01-01T00:00:00+00:00", "columns": []}]'
WHERE stream = 'sick';
