"""Spark's Python daemon with everything that a task needs already imported.

Workers are forked from it, so that the first task after a pause starts at once: Spark ends idle workers after a
minute, and ticks are further apart. The imports start no threads; clients are made in the workers.
"""

from __future__ import annotations

from pyspark.daemon import manager

from spark import unit_offload

__all__ = ["unit_offload"]

if __name__ == "__main__":
    manager()  # type: ignore[no-untyped-call]
