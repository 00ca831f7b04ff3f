"""The ledger in Postgres: watermarks, leases, batches, attempts, parked events, outbox, the emitter's memory."""
