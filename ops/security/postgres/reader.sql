-- What readers may do with the tables. Run it as icehaul_owner after every `icehaul migrate`; running it again does no harm.

-- Does this program fit the ledger?
GRANT SELECT ON schema_migrations TO icehaul_reader;

-- Where streams stand, and what was published: `icehaul status`, `plan`, `verify`, dashboards.
GRANT SELECT ON offload_watermarks TO icehaul_reader;
GRANT SELECT ON offload_batches TO icehaul_reader;
GRANT SELECT ON offload_attempts TO icehaul_reader;
GRANT SELECT ON offload_files TO icehaul_reader;
GRANT SELECT ON offload_backfills TO icehaul_reader;
GRANT SELECT ON offload_drops TO icehaul_reader;
GRANT SELECT ON offload_outbox TO icehaul_reader;
GRANT SELECT ON offload_parked TO icehaul_reader;
GRANT SELECT ON offload_publishes TO icehaul_reader;
GRANT SELECT ON offload_maintenance TO icehaul_reader;
GRANT SELECT ON offload_superfluous TO icehaul_reader;
GRANT SELECT ON offload_partitions TO icehaul_reader;
GRANT SELECT ON offload_differences TO icehaul_reader;
GRANT SELECT ON offload_findings TO icehaul_reader;
GRANT SELECT ON offload_emitter TO icehaul_reader;
GRANT SELECT ON offload_emissions TO icehaul_reader;
GRANT SELECT ON offload_actions TO icehaul_reader;

-- The Iceberg catalog, as other engines read it.
GRANT SELECT ON iceberg_tables TO icehaul_reader;
GRANT SELECT ON iceberg_namespace_properties TO icehaul_reader;
