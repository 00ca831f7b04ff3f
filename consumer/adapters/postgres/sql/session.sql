-- name: bounds
-- The first statement of every transaction. The bounds are whole milliseconds, put in as text: it travels in one message
-- with others, and those can't have parameters beside them.
SELECT
    set_config('lock_timeout', '%(lock)d', true),
    set_config('statement_timeout', '%(statement)d', true),
    set_config('idle_in_transaction_session_timeout', '%(idle)d', true),
    -- A server that waits for more than its own disk keeps doing so; one that waits for less does not.
    set_config('synchronous_commit',
               CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
               true)

-- name: forgettable
-- For what a server that loses its memory may forget: nobody waits for its disk.
SELECT set_config('synchronous_commit', 'off', true)

-- name: polite
-- A lock that is waited for stops everybody who comes after; so does a deadlock that Postgres ends after a second.
SELECT set_config('lock_timeout', '500ms', true)
