-- name: add
INSERT INTO offload_actions (action_id, phase, operator, command, streams, arguments, reason, detail)
VALUES (
    %(action_id)s, %(phase)s, %(operator)s, %(command)s, %(streams)s::text[], %(arguments)s, %(reason)s, %(detail)s
)

-- name: latest
SELECT entry, action_id, phase, at, database_user, operator, command, streams, arguments, reason, detail
FROM offload_actions
WHERE %(stream)s::text IS NULL OR %(stream)s::text = ANY (streams)
ORDER BY entry DESC
LIMIT %(limit)s
