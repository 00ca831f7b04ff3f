-- Besides reader.sql, where clickhouse.cluster is set. On every server of the cluster.

-- cluster(…) reads all shards.
GRANT REMOTE ON *.* TO icehaul_reader;

-- Which shards there are, and whether the replica that answers has caught up.
GRANT SELECT ON system.clusters TO icehaul_reader;
GRANT SELECT ON system.replicas TO icehaul_reader;
