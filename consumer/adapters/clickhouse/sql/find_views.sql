SELECT database, name, comment
FROM system.tables
WHERE engine = 'View' AND startsWith(comment, 'icehaul view of both tiers: ')
