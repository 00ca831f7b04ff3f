SELECT database, view, exception, toUInt64(ifNull(last_success_duration_ms, 0)) AS milliseconds
FROM system.view_refreshes
ORDER BY database, view
