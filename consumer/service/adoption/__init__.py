"""Adopting an Iceberg table that another tool has filled, once it is proved which rows it holds."""
