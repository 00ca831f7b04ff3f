"""Repairing a stream whose ledger and target table tell different stories: the ledger follows the table."""
