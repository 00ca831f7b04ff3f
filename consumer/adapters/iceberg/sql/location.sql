SELECT metadata_location, iceberg_type
FROM iceberg_tables
WHERE catalog_name = %(catalog)s AND table_namespace = %(namespace)s AND table_name = %(table)s
