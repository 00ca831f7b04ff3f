-- Compares the tiers of stream $stream without icehaul: run it on ClickHouse as it stands.
--   hot tier:  $source
--   cold tier: $target, snapshot $snapshot: $files
--   rows:      $range (UTC)
--   digest:    the sum, modulo 2^64, of a 64-bit hash of every row over all of its columns (docs/reference/digest.md)
--   dropped:   rows that were dropped from the hot tier on purpose, as the ledger has them; they count as if still there
-- $parameters
WITH
    hot AS (
        SELECT count() AS _icehaul_rows, sum($digest) AS _icehaul_digest
        FROM ($hot)
    ),
    cold AS (
        SELECT count() AS _icehaul_rows, sum($file_digest) AS _icehaul_digest
        FROM ($cold)
    )
SELECT
    hot._icehaul_rows AS hot_rows,
    lower(leftPad(hex(hot._icehaul_digest), 16, '0')) AS hot_digest,
    toUInt64($dropped_rows) AS dropped_rows,
    lower(leftPad(hex(toUInt64($dropped_digest)), 16, '0')) AS dropped_digest,
    cold._icehaul_rows AS cold_rows,
    lower(leftPad(hex(cold._icehaul_digest), 16, '0')) AS cold_digest,
    if(
        hot._icehaul_rows + dropped_rows = cold._icehaul_rows
            AND hot._icehaul_digest + toUInt64($dropped_digest) = cold._icehaul_digest,
        'equal',
        'DIFFERENT'
    ) AS verdict
FROM hot CROSS JOIN cold
SETTINGS $settings
