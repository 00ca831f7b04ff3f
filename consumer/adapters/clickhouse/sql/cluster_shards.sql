SELECT shard_num, count() AS replicas
FROM system.clusters
WHERE cluster = {cluster:String}
GROUP BY shard_num
ORDER BY shard_num
