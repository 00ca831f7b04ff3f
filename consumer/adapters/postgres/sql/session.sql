-- name: bounds
SELECT
    set_config('lock_timeout', %(lock)s::text, true),
    set_config('statement_timeout', %(statement)s::text, true),
    set_config('idle_in_transaction_session_timeout', %(idle)s::text, true),
    -- A server that waits for more than its own disk keeps doing so; one that waits for less does not.
    set_config('synchronous_commit',
               CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
               true)
