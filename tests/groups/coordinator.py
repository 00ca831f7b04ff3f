"""The broker's view of a group: who its members were, and whom the coordinator expelled."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_LOOK_SECONDS = 0.3
_PID = re.compile(r"-(\d+)$")


class GroupWatch:
    """Looks at a group again and again, so that a member's id can be told to be a process's; a context manager."""

    def __init__(self, admin: AdminClient, group: str) -> None:
        self._admin = admin
        self._group = group
        self._lock = threading.Lock()
        self._pids: dict[str, int] = {}
        self._owned: dict[int, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def owned(self) -> Mapping[int, int]:
        """Return how many partitions each member has, by its process; a new member may have none yet."""
        with self._lock:
            return dict(self._owned)

    def pid(self, member: str) -> int | None:
        """Return the process that had a member's id; ``None`` if it was never seen."""
        with self._lock:
            return self._pids.get(member)

    def _look_on(self) -> None:
        while not self._end.wait(_LOOK_SECONDS):
            try:
                (future,) = self._admin.describe_consumer_groups([self._group]).values()
                members = future.result(60)
            except (KafkaException, TimeoutError):
                continue  # the broker is busy, or has not heard of the group yet
            owned: dict[int, int] = {}
            with self._lock:
                for member in members.members:
                    found = _PID.search(member.client_id)
                    if found is not None:
                        self._pids[member.member_id] = int(found.group(1))
                        owned[int(found.group(1))] = len(member.assignment.topic_partitions)
                self._owned = owned


@dataclass(frozen=True, slots=True, kw_only=True)
class Expulsion:
    """A member that the coordinator has taken out of a group.

    Attributes:
        at: when: seconds since the epoch.
        words: what the broker's log says of it.
    """

    member: str
    at: float
    words: str


def expulsions(log: Path, group: str) -> Sequence[Expulsion]:
    """Return the members that the coordinator has taken out of a group, by the broker's log, in its order."""
    name = re.escape(group)
    pattern = re.compile(
        rf"(?P<at>\S+) INFO (?P<words>.*\[GroupId {name}\] Member (?P<fenced>\S+) fenced from the group because.*"
        rf"|.*Member (?P<failed>\S+) in group {name} has failed, removing it from the group.*)"
    )
    found = map(pattern.fullmatch, log.read_text(encoding="utf-8", errors="replace").splitlines())
    return [
        Expulsion(
            member=one["fenced"] or one["failed"],
            # The broker writes this machine's local time.
            at=datetime.fromisoformat(one["at"]).astimezone().timestamp(),
            words=one["words"],
        )
        for one in found
        if one is not None
    ]


def surprised(
    found: Iterable[Expulsion], pid: Callable[[str], int | None], left: Mapping[int, float]
) -> Sequence[Expulsion]:
    """Return the expulsions of members whose process lived on, and had not been asked to end.

    Args:
        pid: returns the process that had a member's id, ``None`` if nobody knows.
        left: when processes were killed or asked to end: seconds since the epoch.
    """
    return [one for one in found if one.at < left.get(pid(one.member) or 0, math.inf)]
