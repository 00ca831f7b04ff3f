-- Count, digest and first instant of the rows of data files, inside of a window and outside.
SELECT
    _icehaul_file,
    _icehaul_inside,
    count() AS rows,
    sum(_icehaul_hash) AS digest,
    min(_icehaul_micros) AS first
FROM ($rows)
GROUP BY _icehaul_file, _icehaul_inside
