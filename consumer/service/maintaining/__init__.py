"""Maintenance of target tables: low-priority work under the same lease and fence as everything else."""
