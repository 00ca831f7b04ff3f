-- The version of a table, and what its partitions hold, in one look.
SELECT
    version.*,
    (
        SELECT groupArray((_icehaul_partition, partition_rows, min_block, max_block, mutation, modified))
        FROM ($parts)
    ) AS partitions
FROM ($version) AS version
