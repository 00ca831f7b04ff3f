INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
VALUES (%(catalog)s, %(namespace)s, %(table)s, %(new)s, 'TABLE')
ON CONFLICT DO NOTHING
