-- Rows by file and stretch: each row is put to the greatest bound that is not above it, or to its day where that begins
-- later. The first bound is not above any row.
SELECT
    _icehaul_path,
    greatest(
        roundDown(_icehaul_micros, $bounds),
        _icehaul_micros - positiveModulo(_icehaul_micros, 86400000000)
    ) AS bound,
    count() AS rows,
    sum(_icehaul_hash) AS digest,
    min(_icehaul_micros) AS first,
    max(_icehaul_micros) AS last
FROM ($rows)
GROUP BY _icehaul_path, bound
