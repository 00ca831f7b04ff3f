"""What the stories of maintenance need: small files, files that nothing refers to, a grace period that has passed."""

from __future__ import annotations

import psycopg

from tests.matrix.cases import Story
from tests.matrix.stage import START_SECONDS, Stage
from tests.support.waiting import wait_for

_KILLED_AT = "attempt.after-stage=kill@2"


def leave_files(stage: Stage) -> None:
    """Kill a compaction amid its second day, and wait for its lease to end.

    What the first day's rewrite replaced is in no snapshot that is kept once more of them have come; what the second
    has written is in none, and the ledger has its batch as one that is being written.
    """
    killed = stage.start("killed", *stage.commands[Story.COMPACT], failpoints=_KILLED_AT)
    wait_for(lambda: not killed.running, START_SECONDS, "the compaction to be killed")
    assert killed.status == -9, killed.text()
    free = "SELECT FROM offload_watermarks WHERE stream = %s AND (owner IS NULL OR lease_expires < now())"
    wait_for(lambda: stage.query(free, stage.streams[0]), START_SECONDS, "the killed command's lease to end")


def notice_files(stage: Stage) -> None:
    """Let superfluous files be found, and their grace period pass."""
    stage.run_until_it_succeeds("looking", *stage.commands[Story.NOTICE])
    with psycopg.connect(stage.dsn) as connection:
        aged = connection.execute("UPDATE offload_superfluous SET found = found - interval '4 days'")
        assert aged.rowcount > 0, "no file was found to be superfluous"


def check_maintained(stage: Stage) -> None:
    """Demand that a command of maintenance, once it has succeeded, has done what it is for."""
    stream = stage.stream
    if stage.story is Story.COMPACT:
        files = len(stage.application.catalog.data_files(stream.target, stream.partition_by, None))
        assert files == 3, f"three days are in {files} files"
    elif stage.story is Story.REMOVE:
        ((left,),) = stage.query("SELECT count(*) FROM offload_superfluous WHERE found < now() - interval '3 days'")
        assert left == 0, f"{left} files whose grace period has passed were not removed"
