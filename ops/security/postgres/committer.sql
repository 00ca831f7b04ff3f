-- What consumers and emitters may do with the tables. Run it as icehaul_owner after every `icehaul migrate`; running it again
-- does no harm. No row of a batch, a file or a watermark is ever deleted, and no table is made or altered.

-- Does this program fit the ledger?
GRANT SELECT ON schema_migrations TO icehaul_committer;

-- Watermark, lease and state of streams, and what was written and published for them: records that only grow.
GRANT SELECT, INSERT, UPDATE ON offload_watermarks TO icehaul_committer;
GRANT SELECT, INSERT, UPDATE ON offload_batches TO icehaul_committer;
GRANT SELECT, INSERT, UPDATE ON offload_attempts TO icehaul_committer;
GRANT SELECT, INSERT, UPDATE ON offload_files TO icehaul_committer;
GRANT SELECT, INSERT, UPDATE ON offload_backfills TO icehaul_committer;
GRANT SELECT, INSERT, UPDATE ON offload_maintenance TO icehaul_committer;
GRANT SELECT, INSERT, UPDATE ON offload_drops TO icehaul_committer;

-- What operators did: entries are added, and never changed.
GRANT SELECT, INSERT ON offload_actions TO icehaul_committer;

-- Queues: an event goes out of them once it was sent, or its stream resumed.
GRANT SELECT, INSERT, UPDATE, DELETE ON offload_outbox TO icehaul_committer;
GRANT SELECT, INSERT, DELETE ON offload_parked TO icehaul_committer;

-- Commits to a catalog elsewhere that were about to be made: one goes once its outcome is settled.
GRANT SELECT, INSERT, DELETE ON offload_publishes TO icehaul_committer;

-- What the source was last seen to hold: partitions that went, differences and findings that were settled are taken out.
GRANT SELECT, INSERT, UPDATE, DELETE ON offload_partitions TO icehaul_committer;
GRANT SELECT, INSERT, UPDATE, DELETE ON offload_differences TO icehaul_committer;
GRANT SELECT, INSERT, UPDATE, DELETE ON offload_findings TO icehaul_committer;

-- Files that nothing refers to, from when on: one goes off the list once it is deleted.
GRANT SELECT, INSERT, DELETE ON offload_superfluous TO icehaul_committer;

-- The emitter's lease and memory; closes of partitions that are gone are forgotten.
GRANT SELECT, INSERT, UPDATE ON offload_emitter TO icehaul_committer;
GRANT SELECT, INSERT, UPDATE, DELETE ON offload_emissions TO icehaul_committer;

-- The Iceberg catalog: a publish swaps a table's metadata location; tables and namespaces are made, and never dropped.
GRANT SELECT, INSERT, UPDATE ON iceberg_tables TO icehaul_committer;
GRANT SELECT, INSERT ON iceberg_namespace_properties TO icehaul_committer;
