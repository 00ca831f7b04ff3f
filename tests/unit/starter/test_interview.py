from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from consumer.domain.stream import Layer
from consumer.domain.table_facts import ColumnFacts, TableFacts
from consumer.domain.window import PartitionBy
from consumer.service.starter.draft import Names, Surroundings, draft_stream
from consumer.service.starter.interview import ask_settle_lag, ask_target, ask_time_column

AROUND = Surroundings(now=datetime(2026, 1, 1, tzinfo=UTC), server_zone="UTC")
TABLE = TableFacts(
    database="d",
    table="t",
    engine="MergeTree",
    engine_full="MergeTree",
    create_query="",
    partition_key="",
    sorting_key="",
    rows=1,
    bytes=1,
    columns=(ColumnFacts(name="a", type="DateTime"), ColumnFacts(name="b", type="DateTime")),
)


@dataclass
class Scripted:
    """Somebody who answers what was written down for them."""

    answers: list[str]
    asked: list[str] = field(default_factory=list)

    def _answer(self, question: str) -> str:
        self.asked.append(question)
        return self.answers.pop(0)

    def choose(self, question: str, options: Sequence[str], default: str) -> str:
        answer = self._answer(question)
        assert answer in options
        return answer

    def duration(self, question: str, default: timedelta) -> timedelta:
        return timedelta(minutes=int(self._answer(question)))

    def table(self, question: str, default: str) -> str:
        return self._answer(question)


def test_an_unsure_time_column_is_asked_for_and_the_rest_follows() -> None:
    draft = draft_stream(TABLE, {}, AROUND, Names())
    ask = Scripted(["b"])
    answered = ask_time_column(ask, draft, AROUND)
    assert answered.time_column is not None
    assert answered.time_column.column.name == "b"
    assert not any("guess" in text for text in answered.warnings)
    assert "d.t" in ask.asked[0]


def test_nobody_is_asked_where_the_keys_tell() -> None:
    draft = draft_stream(replace(TABLE, partition_key="toYYYYMM(b)", table="silver_t"), {}, AROUND, names := Names())
    ask = Scripted([])
    assert ask_target(ask, ask_time_column(ask, draft, AROUND), names) == draft
    assert draft.partition_by is PartitionBy.MONTH


def test_a_target_that_is_taken_is_asked_for_again() -> None:
    names = Names(targets={"gold.taken"})
    draft = draft_stream(TABLE, {}, AROUND, names)
    answered = ask_target(Scripted(["gold", "gold.taken", "gold.free"]), draft, names)
    assert (answered.layer, answered.target) == (Layer.GOLD, "gold.free")
    assert names.targets == {"gold.taken", "gold.free"}


def test_the_settle_lag() -> None:
    assert ask_settle_lag(Scripted(["90"]), timedelta(minutes=5)) == timedelta(minutes=90)
