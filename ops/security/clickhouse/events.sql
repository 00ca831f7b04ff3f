-- Besides reader.sql, where ClickHouse makes events itself (docs/how-to/let-clickhouse-emit.md), for `icehaul doctor`.

-- Whether the views' last refresh went well. Which views there are is in system.tables, for those who may see them.
GRANT SHOW TABLES ON icehaul_events.* TO icehaul_reader;
GRANT SELECT ON system.view_refreshes TO icehaul_reader;
