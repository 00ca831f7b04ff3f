-- Tables and views by which the server makes events itself.
SELECT database, name, engine
FROM system.tables
WHERE startsWith(comment, 'icehaul events: ')
ORDER BY database, name
