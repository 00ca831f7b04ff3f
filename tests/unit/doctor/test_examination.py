from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from consumer.domain.errors import AccessDeniedError
from consumer.service.doctor.examination import examine
from consumer.service.doctor.finding import Severity, Statement, ok, warning


@dataclass
class Look:
    """A check that does what a test wants."""

    subject: str
    what: Callable[[], Iterable[Statement]]
    name: str = "look"

    def run(self) -> Iterable[Statement]:
        return self.what()


def denied() -> Iterable[Statement]:
    yield ok("reached")
    raise AccessDeniedError("no", remedy="ask")


def broken() -> Iterable[Statement]:
    raise KeyError("oops")


def test_none_stops_another_and_the_order_is_kept() -> None:
    found = examine(
        [
            Look("a", denied),
            Look("b", broken),
            Look("c", lambda: [warning("slow", "wait")]),
        ]
    )
    assert [(one.subject, one.severity, one.message) for one in found] == [
        ("a", Severity.OK, "reached"),
        ("a", Severity.ERROR, "no"),
        ("b", Severity.ERROR, "the check itself failed: KeyError: 'oops'"),
        ("c", Severity.WARNING, "slow"),
    ]
    assert all(one.remedy for one in found)


def test_checks_run_side_by_side() -> None:
    together = threading.Barrier(3, timeout=60)

    def meet() -> Iterable[Statement]:
        together.wait()
        return [ok("met")]

    assert [one.message for one in examine([Look(str(n), meet) for n in range(3)])] == ["met"] * 3


def test_one_that_does_not_answer_is_left_behind_and_does_not_block_those_that_wait() -> None:
    never = threading.Event()

    def hang() -> Iterable[Statement]:
        never.wait()
        return [ok("too late")]

    try:
        found = examine([Look("hung", hang), Look("fine", lambda: [ok("yes")])], parallel=1, seconds=0.2)
    finally:
        never.set()
    assert [(one.subject, one.severity) for one in found] == [("hung", Severity.ERROR), ("fine", Severity.OK)]
    assert "no answer within 0.2 s" in found[0].message


def test_no_checks() -> None:
    assert examine([]) == []
