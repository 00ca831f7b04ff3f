SELECT
    sumIf(balance, balance > 0) AS missing,
    sumIf(-balance, balance < 0) AS surplus
FROM (SELECT hash, sum(sign) AS balance FROM ($hashes) GROUP BY hash)
