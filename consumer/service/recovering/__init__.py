"""Recovering: tables that the catalog has lost are found again on the object store."""
