-- The one property by which both Java's JdbcCatalog and PyIceberg's SqlCatalog know that a namespace exists.
INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
VALUES (%(catalog)s, %(namespace)s, 'exists', 'true')
ON CONFLICT DO NOTHING
