UPDATE iceberg_tables
SET table_namespace = %(namespace)s, table_name = %(table)s
WHERE catalog_name = %(catalog)s AND table_namespace = %(old_namespace)s AND table_name = %(old_table)s
