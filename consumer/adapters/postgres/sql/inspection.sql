-- name: server
SELECT
    current_setting('server_version_num')::integer AS version,
    pg_is_in_recovery()                            AS in_recovery

-- name: settings
-- What a new session of this user finds, before icehaul sets its own for each transaction.
SELECT name, coalesce(reset_val, '') AS value
FROM pg_settings
WHERE name = ANY (%(names)s)

-- name: lacking
SELECT c.relname AS relation, r.privilege
FROM pg_class AS c
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS r (privilege)
WHERE c.relname = ANY (%(relations)s)
  AND c.relkind IN ('r', 'p')
  AND pg_table_is_visible(c.oid)
  AND NOT has_table_privilege(c.oid, r.privilege)
ORDER BY c.relname, r.privilege

-- name: now
SELECT clock_timestamp() AS now
