-- Which replica answers for each shard, and how far it is behind; one row also where the table is not replicated.
SELECT
    toUInt32(shardNum()) AS shard,
    hostName() AS host,
    max(absolute_delay) AS delay,
    max(is_readonly OR is_session_expired) AS cut_off
FROM system.replicas
WHERE database = {database:String} AND table = {table:String}
