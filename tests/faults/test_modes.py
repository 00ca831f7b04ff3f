"""The modes on real engines: the cold tier holds what FINAL shows, or what mutations left, however merges come.

What it holds is read by another reader than the product's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind
from consumer.domain.errors import FencedError
from consumer.domain.reconcile import FindingKind
from tests.support.cases import few
from tests.support.interruptions import Interrupt
from tests.support.local_platform import LocalPlatform, halted, judge, offload, published, session_of
from tests.support.platform import day

CUTOFF = day("2024-01-04")
COLUMNS = "ts DateTime64(6, 'UTC'), seq UInt64, value {value}, version UInt64, deleted UInt8, sign Int8"
AGGREGATES = """
    ts DateTime64(6, 'UTC'), seq UInt64, value {value}, version SimpleAggregateFunction(max, UInt64),
    deleted SimpleAggregateFunction(max, UInt8), sign SimpleAggregateFunction(max, Int8)
"""
PATCHED = "SETTINGS enable_block_number_column = 1, enable_block_offset_column = 1"
ENGINES = {
    "replacing": ("ReplacingMergeTree(version, deleted)", "Int64"),
    "replacing-without-version": ("ReplacingMergeTree", "Int64"),
    "collapsing": ("CollapsingMergeTree(sign)", "Int64"),
    "versioned-collapsing": ("VersionedCollapsingMergeTree(sign, version)", "Int64"),
    "summing": ("SummingMergeTree(value)", "Int64"),
    "aggregating": ("AggregatingMergeTree", "SimpleAggregateFunction(sum, Int64)"),
    "coalescing": ("CoalescingMergeTree", "Nullable(Int64)"),
}
NUMBERS = ("seq", "value", "version", "deleted", "sign")
WRITERS = ("stream", "export")
FEW = {"replacing", "collapsing", "summing"}
"""The others are asked like one of these: with a version more or less, or by other functions of the same kind."""
CASES = [
    # Engines that are asked alike: with a version or a sign less, and by the same functions.
    *(
        pytest.param(engine, "stream", marks=() if engine in {"replacing", "summing"} else pytest.mark.thorough)
        for engine in ENGINES
    ),
    pytest.param("replacing", "export", marks=pytest.mark.thorough),
]


@dataclass(frozen=True, slots=True)
class Hot:
    """A table of one engine, and what is done to it from outside."""

    local: LocalPlatform
    engine: str

    @property
    def table(self) -> str:
        return f"{self.local.name}.trades"

    def run(self, statement: str) -> None:
        self.local.client.command(f"{statement} SETTINGS mutations_sync = 2, enable_lightweight_update = 1")

    def insert(
        self, *seqs: int, value: int = 1, version: int = 1, deleted: int = 0, sign: int = 1, date: str = "2024-01-01"
    ) -> None:
        """Insert one part of rows, one each second of a day, by number."""
        rows = ", ".join(
            f"(addSeconds(toDateTime64('{date}', 6, 'UTC'), {seq}), {seq}, {value}, {version}, {deleted}, {sign})"
            for seq in seqs
        )
        self.local.client.command(f"INSERT INTO {self.table} VALUES {rows}")

    def supersede(self, *seqs: int, value: int, version: int) -> None:
        """Give rows whose last version was the one before another version, as the engine wants it."""
        if "ollapsing" in self.engine:
            self.insert(*seqs, value=value - 1, version=version - 1, sign=-1)
        self.insert(*seqs, value=value, version=version)

    def tombstone(self, *seqs: int, value: int, version: int) -> None:
        """Delete rows by inserting; their last version is the one before this."""
        if "ollapsing" in self.engine:
            self.insert(*seqs, value=value, version=version - 1, sign=-1)
        elif self.engine == "replacing":
            self.insert(*seqs, value=value, version=version, deleted=1)
        elif self.engine == "summing":
            self.insert(*seqs, value=-self.shown(seqs[0])["value"], version=version)
        else:
            self.run(f"DELETE FROM {self.table} WHERE seq IN ({', '.join(map(str, seqs))})")

    def merge(self) -> None:
        self.local.client.command(f"OPTIMIZE TABLE {self.table} FINAL")

    def rows(self, *, final: bool = True) -> Counter[tuple[Any, ...]]:
        """What a reader sees."""
        found = self.local.client.query(
            f"SELECT toUnixTimestamp64Micro(ts), seq, value, version, deleted, sign FROM {self.table}"
            f"{' FINAL' if final else ''}"
        )
        return Counter(tuple(row) for row in found.result_rows)

    def shown(self, seq: int) -> dict[str, Any]:
        """What a reader sees of one row."""
        ((value, version),) = self.local.client.query(
            f"SELECT value, version FROM {self.table} FINAL WHERE seq = {seq}"
        ).result_rows
        return {"value": value, "version": version}


def make(
    local: LocalPlatform, engine: str, mode: str, *, replace: object = None, batch: object = None
) -> tuple[Hot, str]:
    """A stream over a table of two days of ten rows each."""
    stream = local.add_stream(mode=mode, replace=replace or {}, batch=batch or {})
    definition, value = ENGINES.get(engine, (engine, "Int64"))
    columns = (AGGREGATES if engine == "aggregating" else COLUMNS).format(value=value)
    hot = Hot(local, engine)
    local.client.command(f"DROP TABLE {hot.table} SYNC")
    local.client.command(
        f"CREATE TABLE {hot.table} ({columns}) ENGINE = {definition} PARTITION BY toDate(ts)"
        f" ORDER BY (ts, seq) {PATCHED}"
    )
    hot.insert(*range(10))
    hot.insert(*range(10, 20), date="2024-01-02")
    return hot, stream


def cold(consumer: Application, stream: str) -> Counter[tuple[Any, ...]]:
    """The rows of the target, read by PyIceberg."""
    base = consumer.catalog._bases.load(consumer.streams[stream].target)
    assert base is not None
    rows = base.table(consumer.catalog._io).scan().to_arrow().to_pylist()
    return Counter(
        (
            int(row["ts"].timestamp() * 1_000_000),
            *(row[name] for name in NUMBERS),
        )
        for row in rows
    )


def follow(consumer: Application, hot: Hot, stream: str, *, final: bool) -> None:
    """Deliver one event; both tiers hold the same rows then, and nothing is left to anybody."""
    assert offload(consumer, stream, CUTOFF) == []
    assert cold(consumer, stream) == hot.rows(final=final)
    assert consumer.ledger.findings(stream) == []


def quiet(consumer: Application, stream: str) -> None:
    """Deliver an event that changes nothing."""
    before = published(consumer, stream)
    offload(consumer, stream, CUTOFF)
    assert published(consumer, stream) == before


@pytest.mark.parametrize(("engine", "writer"), CASES)
def test_latest_version_is_what_final_shows_before_between_and_after_merges(
    local: LocalPlatform, engine: str, writer: str
) -> None:
    local.sections["spark"] = {"writer": writer}
    hot, stream = make(local, engine, "latest-version", replace={"remove_rows": True})
    hot.supersede(3, 4, value=2, version=2)
    with local.consumer() as consumer:
        follow(consumer, hot, stream, final=True)
        assert {one.kind for one in published(consumer, stream)} == {BatchKind.WINDOW}
        hot.merge()
        quiet(consumer, stream)
        hot.supersede(4, value=3, version=3)
        follow(consumer, hot, stream, final=True)
        hot.tombstone(6, value=1, version=2)
        follow(consumer, hot, stream, final=True)
        assert all(row[1] != 6 for row in cold(consumer, stream))
        hot.merge()
        quiet(consumer, stream)
        hot.insert(77)
        hot.run(f"ALTER TABLE {hot.table} UPDATE value = value + 40 WHERE seq = 7")
        follow(consumer, hot, stream, final=True)
        hot.run(f"DELETE FROM {hot.table} WHERE seq = 8")
        follow(consumer, hot, stream, final=True)
        hot.merge()
        quiet(consumer, stream)
        judge(consumer, stream, rows=hot.rows().total())


@pytest.mark.parametrize("writer", few(WRITERS, {"stream"}))
def test_replace_window_follows_mutations_and_adds_late_rows(local: LocalPlatform, writer: str) -> None:
    local.sections["spark"] = {"writer": writer}
    hot, stream = make(local, "MergeTree", "replace-window", replace={"remove_rows": True})
    with local.consumer() as consumer:
        follow(consumer, hot, stream, final=False)
        hot.run(f"ALTER TABLE {hot.table} UPDATE value = 9 WHERE seq < 5")
        hot.insert(77)
        follow(consumer, hot, stream, final=False)
        hot.insert(78)
        follow(consumer, hot, stream, final=False)
        kinds = Counter(one.kind for one in published(consumer, stream))
        assert kinds == {BatchKind.WINDOW: 1, BatchKind.REPLACE: 1, BatchKind.SUPPLEMENT: 1}
        hot.run(f"UPDATE {hot.table} SET value = 10 WHERE seq = 3")
        follow(consumer, hot, stream, final=False)
        hot.run(f"DELETE FROM {hot.table} WHERE seq IN (1, 2)")
        follow(consumer, hot, stream, final=False)
        hot.run(f"ALTER TABLE {hot.table} DELETE WHERE seq = 4")
        follow(consumer, hot, stream, final=False)
        hot.merge()
        quiet(consumer, stream)
        judge(consumer, stream, rows=hot.rows(final=False).total())


def test_append_notices_a_lightweight_update(local: LocalPlatform) -> None:
    """Its patch parts are parts of a partition of their own."""
    hot, stream = make(local, "MergeTree", "append")
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        hot.run(f"UPDATE {hot.table} SET value = 10 WHERE seq = 3")
        offload(consumer, stream, CUTOFF)
        (found,) = consumer.ledger.findings(stream)
        assert (found.kind, found.rows) == (FindingKind.CHANGED, 1)


def drop_partition(hot: Hot) -> None:
    hot.run(f"ALTER TABLE {hot.table} DROP PARTITION '2024-01-01'")


def expire(hot: Hot) -> None:
    hot.run(f"ALTER TABLE {hot.table} MODIFY TTL toDateTime(ts) + INTERVAL 1 DAY DELETE WHERE seq < 9")
    hot.merge()


LOSSES: dict[str, Callable[[Hot], None]] = {"a dropped partition": drop_partition, "a TTL": expire}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("engine", "mode"),
    [
        ("replacing", "latest-version"),
        pytest.param("MergeTree", "replace-window", marks=pytest.mark.thorough),
    ],
)
def test_what_the_hot_tier_loses_is_never_removed(local: LocalPlatform, engine: str, mode: str, loss: str) -> None:
    hot, stream = make(local, engine, mode, replace={"remove_rows": True})
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        before = cold(consumer, stream)
        LOSSES[loss](hot)
        # As many rows come as went, so that counts agree, and another event looks at what is there by now.
        hot.insert(*range(100, 109))
        hot.run(f"ALTER TABLE {hot.table} UPDATE value = 5 WHERE seq = 100")
        for _ in range(2):
            offload(consumer, stream, CUTOFF)
            hot.insert(200)
            assert before - cold(consumer, stream) == Counter()


def test_deleted_rows_stay_and_are_reported_unless_the_configuration_lets_them_go(local: LocalPlatform) -> None:
    hot, stream = make(local, "replacing", "latest-version")
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        hot.tombstone(3, value=1, version=2)
        hot.insert(77)
        offload(consumer, stream, CUTOFF)
        (found,) = consumer.ledger.findings(stream)
        assert (found.kind, found.rows) == (FindingKind.DELETED, 1)
        assert {row[1] for row in cold(consumer, stream)} == {*range(20), 77}


@pytest.mark.parametrize(
    "point",
    few(
        [
            "batch.before-begin",
            "attempt.after-stage",
            "publish.before-commit",
            "publish.after-commit",
            "comparison.before-record",
        ],
        {"publish.before-commit", "comparison.before-record"},
    ),
)
def test_a_window_whose_replacement_breaks_off_anywhere_is_replaced_once(local: LocalPlatform, point: str) -> None:
    hot, stream = make(local, "replacing", "latest-version")
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        hot.supersede(3, value=2, version=2)

        def abandon() -> None:
            raise FencedError("the stream was taken over", remedy="nothing to do")

        with local.consumer(failpoints=Interrupt(point, abandon)) as other:
            assert len(offload(other, stream, CUTOFF)) == 1
        follow(consumer, hot, stream, final=True)
        judge(consumer, stream, rows=20)
        assert Counter(one.kind for one in published(consumer, stream))[BatchKind.REPLACE] == 1
        quiet(consumer, stream)


def test_a_merge_or_a_version_in_the_middle_of_a_read_does_no_harm(local: LocalPlatform) -> None:
    hot, stream = make(local, "replacing", "latest-version")
    hot.supersede(*range(5), value=2, version=2)
    with local.consumer() as consumer:
        acts = [lambda: hot.supersede(3, 15, value=3, version=3), hot.merge]

        def before(task: Any) -> Any:
            if acts:
                acts.pop()()
            return task

        session_of(consumer).before = before
        offload(consumer, stream, CUTOFF)
        assert acts == []
        follow(consumer, hot, stream, final=True)
        # A version that comes between the look at a window and its replacement: the next event brings it.
        hot.supersede(4, value=4, version=4)
        acts = [lambda: hot.supersede(4, value=5, version=5)]
        offload(consumer, stream, CUTOFF)
        assert acts == []
        follow(consumer, hot, stream, final=True)


def test_no_more_windows_are_replaced_for_one_event_than_may_be(local: LocalPlatform) -> None:
    hot, stream = make(local, "replacing", "latest-version", replace={"windows_per_event": 1}, batch={"window": "1d"})
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        hot.supersede(3, value=2, version=2)
        hot.supersede(13, value=2, version=2)
        hot.local.client.command(f"ALTER TABLE {hot.table} UPDATE value = 7 WHERE seq = 13 SETTINGS mutations_sync = 2")
        offload(consumer, stream, CUTOFF)
        assert Counter(one.kind for one in published(consumer, stream))[BatchKind.REPLACE] == 1
        assert cold(consumer, stream) != hot.rows()
        hot.supersede(3, value=3, version=3)
        offload(consumer, stream, CUTOFF)
        assert {row for row in cold(consumer, stream) if row[1] == 13} == {row for row in hot.rows() if row[1] == 13}
        follow(consumer, hot, stream, final=True)


def test_a_mode_that_the_table_does_not_allow_halts_with_the_remedy(local: LocalPlatform) -> None:
    _, stream = make(local, "MergeTree", "latest-version")
    with local.consumer() as consumer:
        offload(consumer, stream, CUTOFF)
        record = halted(consumer, stream)
        assert "latest-version is not possible" in str(record.halt_reason)
        assert "replace-window" in str(record.halt_remedy)
