"""Following: from the moment before ticks are sent until the work that they ask for is committed, or is late."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from uuid import UUID

from consumer.domain.batch import BatchStatus
from consumer.domain.due import find_due
from consumer.domain.duration import format_duration
from consumer.domain.errors import TransientError
from consumer.domain.phrasing import instant_text
from consumer.domain.planning import Cutoff
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING
from consumer.ports import BatchRecord, Ledger, Source, StreamRecord, StreamState
from consumer.service.status import find_activity
from consumer.service.threads import SYSTEM_THREADS, Threads

_LOOK_S = 0.5
"""Seconds between two looks at the ledger; each is one statement, however many streams are followed."""
_MOST_BATCHES = 1_000
_KNOWN_BATCHES = 20
"""How many of the batches of before are remembered, so that those that come after them are told apart."""
_START = (
    "see that a consumer runs (`icehaul run`) with this stream in its configuration, which it reads anew on SIGHUP, and"
    " read its log; an event of a stream that it did not know is in `icehaul dlq list`"
)


class Outcome(StrEnum):
    """How following a tick ended."""

    COMMITTED = "committed"
    """The watermark has reached what was due: all of it is in committed snapshots."""
    HALTED = "halted"
    """The stream is halted; its events are kept."""
    LATE = "late"
    """The time was over before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What ticks, about to be sent, have to bring about.

    Attributes:
        asked: their cutoff.
        due: the watermark that each stream is due to reach, and which bound decided it.
        before: each stream's record before the sending.
        known: each stream's latest published batches before the sending.
        now: the source server's time before the sending.
    """

    asked: datetime
    due: Mapping[str, Cutoff]
    before: Mapping[str, StreamRecord]
    known: Mapping[str, frozenset[UUID]]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How following one stream's tick ended.

    ``batches`` were published since the tick was sent, oldest first; ``reason`` and ``remedy`` are ``None`` where
    everything is committed.
    """

    stream: str
    outcome: Outcome
    due: Cutoff
    watermark: datetime
    batches: Sequence[BatchRecord]
    reason: str | None = None
    remedy: str | None = None


class Follower:
    """Follows ticks by the ledger alone, once they are sent."""

    def __init__(
        self, *, streams: Mapping[str, Stream], source: Source, ledger: Ledger, threads: Threads = SYSTEM_THREADS
    ) -> None:
        self._streams = streams
        self._source = source
        self._ledger = ledger
        self._threads = threads

    def expect(self, names: Sequence[str], asked: datetime | None) -> Expectation:
        """Return what ticks for these streams have to bring about; to be called before they are sent.

        Args:
            names: configured streams.
            asked: cutoff of the ticks, ``None`` for the source server's time.

        Raises:
            TransientError: if source or ledger can't be asked now.
        """
        now = self._source.now()
        asked = now if asked is None else asked
        records = self._ledger.read(list(self._streams))
        watermarks = {name: record.watermark for name, record in records.items()}
        return Expectation(
            asked=asked,
            due=find_due(names, self._streams, asked=asked, now=now, watermarks=watermarks),
            before={name: records.get(name) or StreamRecord.unseen(name, now) for name in names},
            known={name: frozenset(self._latest(name)) for name in names},
            now=now,
        )

    def follow(self, expectation: Expectation, *, within: timedelta) -> Iterator[Followed]:
        """Yield each stream as soon as its end is known; what is not committed ``within`` this time is late.

        A ledger that can't be asked for a while is asked again. A halted stream ends at once, however far it came.
        """
        began = self._threads.monotonic()
        pause = self._threads.signal()
        pending = list(expectation.due)
        while True:
            passed = timedelta(seconds=self._threads.monotonic() - began)
            for one in self._ended(pending, expectation):
                pending.remove(one.stream)
                yield one
            if not pending:
                return
            if passed >= within:
                yield from self._late(pending, expectation, within, expectation.now + passed)
                return
            pause.wait(min(_LOOK_S, (within - passed).total_seconds()))

    def _ended(self, pending: Sequence[str], expectation: Expectation) -> Sequence[Followed]:
        try:
            records = self._ledger.read(pending)
            return [
                self._end(record, expectation)
                for name, record in records.items()
                if record.state is StreamState.HALTED or record.watermark >= expectation.due[name].instant
            ]
        except TransientError:
            # It may pass while there is time; what does not is named by those who are late.
            return ()

    def _end(self, record: StreamRecord, expectation: Expectation) -> Followed:
        name, halted = record.stream, record.state is StreamState.HALTED
        return Followed(
            stream=name,
            outcome=Outcome.HALTED if halted else Outcome.COMMITTED,
            due=expectation.due[name],
            watermark=record.watermark,
            batches=self._published(name, expectation),
            reason=f"stream {name} is halted: {record.halt_reason}" if halted else None,
            remedy=_until_resumed(name, record.halt_remedy or "") if halted else None,
        )

    def _latest(self, name: str) -> Iterator[UUID]:
        for one in self._ledger.batches(name, _KNOWN_BATCHES):
            if one.status is BatchStatus.PUBLISHED:
                yield one.batch_id

    def _published(self, name: str, expectation: Expectation) -> Sequence[BatchRecord]:
        """Return what was published since the sending, oldest first: windows, and supplements of earlier ones.

        The batch that the stream's record names last is not enough: a ledger that was rebuilt has the table's word for
        it, and has recorded its windows under other ids.
        """
        known = expectation.known[name] | {expectation.before[name].last_batch_id}
        new = takewhile(lambda one: one.batch_id not in known, self._ledger.batches(name, _MOST_BATCHES))
        return [one for one in new if one.status is BatchStatus.PUBLISHED][::-1]

    def _late(
        self, pending: Sequence[str], expectation: Expectation, within: timedelta, now: datetime
    ) -> Iterator[Followed]:
        for name in pending:
            watermark = expectation.before[name].watermark
            batches: Sequence[BatchRecord] = ()
            try:
                record = self._ledger.read([name]).get(name)
                if record is not None:
                    watermark, batches = record.watermark, self._published(name, expectation)
                why, remedy = self._explain(self._streams[name], record, pending, now)
            except TransientError as error:
                why, remedy = error.message, error.remedy
            due = expectation.due[name]
            shown = "nothing has been read" if watermark == BEGINNING else f"it is read up to {instant_text(watermark)}"
            yield Followed(
                stream=name,
                outcome=Outcome.LATE,
                due=due,
                watermark=watermark,
                batches=batches,
                reason=f"stream {name} is late: {format_duration(within)} after its tick {shown},"
                f" and {instant_text(due.instant)} was due: {why}",
                remedy=remedy,
            )

    def _explain(
        self, stream: Stream, record: StreamRecord | None, pending: Sequence[str], now: datetime
    ) -> tuple[str, str]:
        """Return what keeps a stream, and what to do about it."""
        if record is None:
            return "no consumer has ever seen this stream", _START
        latest = self._ledger.batches(stream.name, 1)
        activity = find_activity(record, latest, now)
        look = f"look at it again: `icehaul status {stream.name}`"
        if activity is not None and activity.live:
            if activity.batch is None:
                return f"{activity.owner} is planning", look
            batch = activity.batch
            return (
                f"{activity.owner} is writing {batch.window}, attempt {batch.attempts}",
                f"{look}; if batches take that long, follow them for longer",
            )
        slow = next((one for one in stream.upstreams if one in pending), None)
        if slow is not None:
            return f"its upstream {slow} is late", f"do what is said of {slow}"
        if latest and latest[0].error:
            return f"the latest attempt failed: {latest[0].error}", f"mend the cause: the next event goes on; {_START}"
        return "no consumer is working on it", _START


def _until_resumed(name: str, remedy: str) -> str:
    """Return what to do about a halt, to the end: some remedies name the last step themselves."""
    resume = f"icehaul resume {name}"
    return remedy if resume in remedy else f"{remedy}; then run `{resume}`"
