-- name: server
SELECT
    current_setting('server_version_num')::integer AS version,
    pg_is_in_recovery()                            AS in_recovery,
    session_user::text                             AS session_user

-- name: settings
-- What a new session of this user finds, before icehaul sets its own for each transaction.
SELECT name, coalesce(reset_val, '') AS value
FROM pg_settings
WHERE name = ANY (%(names)s)

-- name: lacking
SELECT needed.relation, needed.privilege
FROM unnest(%(relations)s::text[], %(privileges)s::text[]) AS needed (relation, privilege)
JOIN pg_class AS c ON c.relname = needed.relation AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)
WHERE NOT has_table_privilege(c.oid, needed.privilege)
ORDER BY needed.relation, needed.privilege

-- name: there
SELECT c.relname AS relation
FROM pg_class AS c
WHERE c.relname = ANY (%(relations)s) AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)

-- name: now
SELECT clock_timestamp() AS now
