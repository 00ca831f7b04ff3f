"""A thousand failing batches: does anything of the process, its children or the ledger grow with them?"""
