-- Of every catalog in this database: what lies in one place need not be of one catalog.
SELECT catalog_name, table_namespace, table_name, metadata_location
FROM iceberg_tables
WHERE metadata_location IS NOT NULL AND (iceberg_type IS NULL OR iceberg_type = 'TABLE')
  AND NOT (catalog_name = %(catalog)s AND table_namespace = %(namespace)s AND table_name = %(table)s)
