-- Count, digest and first instant of the rows of data files, inside of a window and outside.
SELECT file, inside, count() AS rows, sum(hash) AS digest, min(micros) AS first
FROM ($rows)
GROUP BY file, inside
