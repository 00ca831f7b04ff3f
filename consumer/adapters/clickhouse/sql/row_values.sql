-- Rows by their full-row hash, each column's value as text.
SELECT _icehaul_hash AS hash, any(_icehaul_row) AS row
FROM (SELECT $digest AS _icehaul_hash, [$texts] AS _icehaul_row FROM ($rows))
WHERE _icehaul_hash IN ($hashes)
GROUP BY hash
