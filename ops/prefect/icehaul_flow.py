"""icehaul's flow for Prefect 3: an offload that is late or failed is a flow run that is late or failed.

It sends a tick to each stream and follows the streams to their commits, each in a task run of its own. Prefect's
environment needs the command ``icehaul`` on its path, and nothing else of icehaul: no library is shared.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from prefect import flow, get_run_logger, task, unmapped
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

LATE = "Late"
"""Name of a failed state whose offload may still come; Prefect gives runs that start too late the same name."""
ARTIFACT = "icehaul"
"""Key of the artifact of every flow run."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GRACE = timedelta(minutes=2)
"""How much longer than the deadline the command may take to start, to send and to end."""
_EXPLAINED = re.compile(r"^error: (?P<error>.*)\nremedy: (?P<remedy>.*)\nmore: .*\Z", re.MULTILINE)
"""How icehaul's commands end that could not do their work."""

End = Mapping[str, Any]


class OffloadError(Exception):
    """The command `icehaul emit` did not tell how an offload ended; the message says why and what to do."""


class Ticks:
    """Ticks, as the command that sends and follows them tells of them line by line.

    Args:
        arguments: of ``icehaul emit``.
        patience: how long the command may run; it is ended after that, and when the block ends.

    Raises:
        OffloadError: if the command can't be started.
    """

    def __init__(self, arguments: Sequence[str], *, patience: timedelta) -> None:
        self.ends: dict[str, End] = {}
        self._sent: Mapping[str, Any] | None = None
        self._said: str | None = None
        self._news = threading.Condition()
        self._messages = tempfile.TemporaryFile(mode="w+", encoding="utf-8")  # noqa: SIM115 - closed by the reader
        try:
            self._process = subprocess.Popen(
                ["icehaul", "emit", *arguments, "--output", "json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                encoding="utf-8",
            )
        except OSError as error:
            raise OffloadError(
                f"the command `icehaul` can't be started: {error}. Remedy: put it on the path of the Prefect worker"
            ) from error
        self._patience = patience
        self._impatient = False
        self._guard = threading.Timer(patience.total_seconds(), self._give_up)
        self._guard.daemon = True
        self._guard.start()
        self._reader = threading.Thread(target=self._read, name="icehaul-emit", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guard.cancel()
        if self._process.poll() is None:
            self._process.terminate()
        self._reader.join(timeout=10)
        self._process.kill()
        self._process.wait()

    def sent(self) -> Mapping[str, Any]:
        """Wait until the ticks are sent, and return their cutoff and events.

        Raises:
            OffloadError: if they were not, with the command's own words.
        """
        with self._news:
            self._news.wait_for(lambda: self._sent is not None or self._said is not None)
        if self._sent is None:
            raise OffloadError(self._complaint())
        return self._sent

    def end(self, stream: str) -> End:
        """Wait until following a stream has ended, and return how.

        Raises:
            OffloadError: if the command ended without telling, with its own words.
        """
        with self._news:
            self._news.wait_for(lambda: stream in self.ends or self._said is not None)
        if stream not in self.ends:
            raise OffloadError(self._complaint())
        return self.ends[stream]

    def _give_up(self) -> None:
        self._impatient = True
        self._process.kill()

    def _read(self) -> None:
        try:
            for line in self._process.stdout or ():
                told = json.loads(line)
                with self._news:
                    if self._sent is None:
                        self._sent = told
                    else:
                        self.ends[told["stream"]] = told
                    self._news.notify_all()
            self._process.wait()
        finally:
            with self._messages, self._news:
                self._messages.seek(0)
                self._said = self._messages.read().strip()
                self._news.notify_all()

    def _complaint(self) -> str:
        """Return the error and remedy that the command ended with, or else the end of what it said."""
        if self._impatient:
            return f"`icehaul emit` had not ended after {self._patience}. Remedy: look at the servers that it uses"
        text = self._said or ""
        told = _EXPLAINED.search(text)
        said = f"{told['error']}. Remedy: {told['remedy']}" if told else text[-2_000:]
        return f"`icehaul emit` ended with code {self._process.returncode}: {said or 'it said nothing'}"


@task(name="send ticks", cache_policy=NO_CACHE, persist_result=False)
def send(ticks: Ticks) -> list[str]:
    """Wait until Kafka has acknowledged the ticks, and return the streams that they are for."""
    sent = ticks.sent()
    for event in sent["events"]:
        get_run_logger().info("tick %s of %s sent to stream %s", event["id"], sent["cutoff"], event["stream"])
    return [event["stream"] for event in sent["events"]]


@task(name="follow", task_run_name="follow {stream}", cache_policy=NO_CACHE, persist_result=False)
def follow(stream: str, ticks: Ticks) -> State[None]:
    """Wait until what the tick of a stream asks for is committed; failed if it is halted, or late."""
    end = ticks.end(stream)
    if end["outcome"] == "committed":
        return Completed(message=_done([end]))
    return Failed(name=LATE if end["outcome"] == "late" else None, message=_why(end))


@flow(name="icehaul")
def offload(
    streams: list[str] | None = None,
    deadline_minutes: float = 10,
    boundary: datetime | None = None,
    every_minutes: int = 15,
) -> State[None]:
    """Send ticks, and follow each stream until what its tick asks for is committed.

    Args:
        streams: names of configured streams; all of them if none is named.
        deadline_minutes: what is not committed this long after the ticks is late.
        boundary: the ticks ask for all rows before this instant (UTC without an offset); the latest boundary if none
            is given.
        every_minutes: boundaries are the multiples of this since the Unix epoch, in UTC. With the configuration's
            ``emitter.tick`` the tick is the one that the emitter sends, id included.
    """
    asked = boundary or _latest_boundary(timedelta(minutes=every_minutes))
    deadline = timedelta(minutes=deadline_minutes)
    arguments = ["--tick", asked.isoformat(), "--follow", f"{deadline // timedelta(milliseconds=1)}ms"]
    for name in streams or ():
        arguments += ["--stream", name]
    with Ticks(arguments, patience=deadline + _GRACE) as ticks:
        names = send(ticks)
        runs = follow.map(names, unmapped(ticks))
        wait(list(runs))
        states = [run.state for run in runs]
        ends = [ticks.ends[name] for name in names if name in ticks.ends]
    create_markdown_artifact(key=ARTIFACT, markdown=_report(asked, ends), description="What icehaul offloaded")
    failed = [state for state in states if not state.is_completed()]
    if not failed:
        return Completed(message=_done(ends))
    late = all(state.name == LATE for state in failed)
    message = "\n".join(dict.fromkeys(str(state.message) for state in failed))
    return Failed(name=LATE if late else None, message=f"{len(failed)} of {len(names)} streams: {message}")


def _latest_boundary(every: timedelta) -> datetime:
    """Return the latest boundary; a worker's clock that is behind the schedule's does not make it an earlier one."""
    scheduled: datetime = flow_run.scheduled_start_time
    now = max(datetime.now(UTC), scheduled.astimezone(UTC))
    return _EPOCH + (now - _EPOCH) // every * every


def _why(end: End) -> str:
    return f"{end['reason']}. Remedy: {end['remedy']}"


def _done(ends: Sequence[End]) -> str:
    batches = [batch for end in ends for batch in end["batches"]]
    if not batches:
        return "nothing new"
    return f"{sum(batch['rows'] for batch in batches):,} rows in {len(batches)} batch{'es' * (len(batches) > 1)}"


def _report(asked: datetime, ends: Sequence[End]) -> str:
    """Return what was offloaded, one line for each batch, and why it was not."""
    lines = [
        f"Ticks of {asked.isoformat()}",
        "",
        "| stream | end | watermark | batch | of | rows | bytes | snapshot | attempts | trace |",
        "|---|---|---|---|---|---:|---:|---|---:|---|",
    ]
    for end in ends:
        head = f"| {end['stream']} | {end['outcome']} | {end['watermark'] or 'never read'} |"
        lines += [
            f"{head} {batch['kind']} | {batch['lower']} to {batch['upper']} | {batch['rows']:,} | {batch['bytes']:,} |"
            f" {batch['snapshot_id']} | {batch['attempts']} | {batch['trace_id'] or ''} |"
            for batch in end["batches"]
        ] or [f"{head} none | | | | | | |"]
    lines += ["", *(f"- {_why(end)}" for end in ends if end["reason"])]
    return "\n".join(lines)
