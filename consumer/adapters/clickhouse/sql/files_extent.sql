-- How many rows data files hold, from when to when, in microseconds since the epoch.
SELECT count() AS rows, min(micros) AS first, max(micros) AS last
FROM ($rows)
