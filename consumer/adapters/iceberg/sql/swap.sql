UPDATE iceberg_tables
SET metadata_location = %(new)s, previous_metadata_location = %(base)s
WHERE catalog_name = %(catalog)s AND table_namespace = %(namespace)s AND table_name = %(table)s
  AND metadata_location = %(base)s
