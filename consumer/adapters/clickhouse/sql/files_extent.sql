-- How many rows data files hold, from when to when, in microseconds since the epoch.
SELECT count() AS rows, min(_icehaul_micros) AS first, max(_icehaul_micros) AS last
FROM ($rows)
