-- One statement sees one state of the database: no publish lies between a watermark and a table's metadata location.
SELECT asked.stream AS asked, known.stream, known.watermark, known.last_upper, known.generation, known.source_uuid,
       known.target_uuid, known.epoch, known.owner, known.lease_expires, known.state, known.halt_reason,
       known.halt_remedy, known.updated, known.last_batch_id, known.start, known.last_backfill_id,
       known.adopted, known.schemas,
       found.metadata_location
FROM unnest(%(streams)s::text[], %(namespaces)s::text[], %(tables)s::text[]) AS asked (stream, namespace, name)
LEFT JOIN offload_watermarks AS known ON known.stream = asked.stream
LEFT JOIN iceberg_tables AS found
    ON found.catalog_name = %(catalog)s AND found.table_namespace = asked.namespace AND found.table_name = asked.name
   AND (found.iceberg_type IS NULL OR found.iceberg_type = 'TABLE')
