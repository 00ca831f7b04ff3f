-- Rows by their full-row hash, each column's value as text.
SELECT hash, any(row) AS row
FROM (SELECT $digest AS hash, [$texts] AS row FROM ($rows))
WHERE hash IN ($hashes)
GROUP BY hash
