SELECT
    sumIf(balance, balance > 0) AS missing,
    sumIf(-balance, balance < 0) AS surplus
FROM (SELECT sum(_icehaul_sign) AS balance FROM ($hashes) GROUP BY _icehaul_hash)
