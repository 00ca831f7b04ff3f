-- What the maintenance of streams takes besides a committer's rights. Run it as icehaul_owner after every `icehaul migrate`;
-- running it again does no harm.

-- `icehaul stream remove` forgets what was sent for the stream, and takes its history away where it is told to.
GRANT DELETE ON offload_files TO icehaul_maintenance;
GRANT DELETE ON offload_attempts TO icehaul_maintenance;
GRANT DELETE ON offload_batches TO icehaul_maintenance;
GRANT DELETE ON offload_drops TO icehaul_maintenance;
GRANT DELETE ON offload_backfills TO icehaul_maintenance;
GRANT DELETE ON offload_watermarks TO icehaul_maintenance;

-- `icehaul stream rename` rewrites the events that wait for the stream.
GRANT UPDATE ON offload_parked TO icehaul_maintenance;
