"""What ended a job or a session, by the words of Spark, Java and the system; and what to do about it."""

from __future__ import annotations

_REMEDIES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("No space left on device", "Errno 28", "Disk quota exceeded", "Errno 122"),
        (
            "free space in Spark's local directories (spark.local.dir in spark.conf, else TMPDIR or /tmp) of the driver"
            " and the workers; no row is kept there, so a few megabytes suffice"
        ),
    ),
    (
        ("OutOfMemoryError",),
        "raise spark.driver_memory; where a cluster's executor ran out of memory, spark.executor.memory in spark.conf",
    ),
    (
        ("Python worker exited unexpectedly", "Python worker failed to connect back", "MemoryError"),
        (
            "a Python worker has ended or found no memory: if the system ended it for want of memory (see its log),"
            " lower spark.row_group_rows or the cores in spark.master, or give the workers more memory"
        ),
    ),
    (
        ("PYTHON_VERSION_MISMATCH",),
        "name, in spark.conf as spark.pyspark.python, an interpreter of the workers that has the consumer's version",
    ),
    (
        ("ExecutorLostFailure", "executor lost", "Remote RPC client disassociated"),
        "see the log of the executor's worker: memory of the container, a killed process, a lost machine",
    ),
)


def remedy_for(text: str, otherwise: str) -> str:
    """Return what to do about a failure that ``text`` tells of; ``otherwise`` where its words are unknown."""
    return next((remedy for signs, remedy in _REMEDIES if any(sign in text for sign in signs)), otherwise)
