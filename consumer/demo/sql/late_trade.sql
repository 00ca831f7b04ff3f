-- One trade of a symbol that was not captured, at a moment that was: so every bar that it makes is a new one.
INSERT INTO {database}.bronze_trades_binance
SELECT min(exchange_timestamp), 1, '{symbol}', 1228.5, 0.25, true
FROM {database}.bronze_trades_binance
WHERE toDate(exchange_timestamp) = '{captured}'
