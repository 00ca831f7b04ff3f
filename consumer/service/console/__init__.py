"""What the console shows, read at a cost that does not grow with the ledger."""
