"""What Spark, Java and the system say at the end of a job, and the remedy for it."""

from __future__ import annotations

import pytest

from spark.causes import remedy_for

LOST_TASK = "Job aborted due to stage failure: Task 0 in stage 1.0 failed 1 times, most recent failure: "


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("OSError: [Errno 28] No space left on device", "spark.local.dir"),
        (LOST_TASK + "java.io.IOException: No space left on device", "spark.local.dir"),
        ("OSError: [Errno 122] Disk quota exceeded", "spark.local.dir"),
        ("the JVM is gone Terminating due to java.lang.OutOfMemoryError: Java heap space", "spark.driver_memory"),
        (LOST_TASK + "Python worker exited unexpectedly (crashed)", "spark.row_group_rows"),
        ("ArrowMemoryError: malloc of size 1024 failed", "spark.row_group_rows"),
        (LOST_TASK + "ExecutorLostFailure (executor 1 exited caused by one of the running tasks)", "executor's worker"),
        ("something else", "otherwise"),
    ],
)
def test_the_words_of_a_failure_have_a_remedy(text: str, remedy: str) -> None:
    assert remedy in remedy_for(text, "otherwise")
