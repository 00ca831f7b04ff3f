"""Every class of error is on the reference page, says what to do, and is found by its anchor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from consumer.demo.failure import DemoFailure
from consumer.domain.errors import REFERENCE, IcehaulError, InvalidEventError, SourceMissingError
from consumer.embedded.errors import PortTakenError, StackNotRunningError
from consumer.entrypoints.cli.output import explain
from consumer.entrypoints.error_reference import classes, documented

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / REFERENCE).read_text(encoding="utf-8")
ANCHORS = [heading.lower() for heading in re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)]
CLASSES = list(classes())


def everything_below(cls: type[IcehaulError]) -> set[type[IcehaulError]]:
    return {cls, *(one for child in cls.__subclasses__() for one in everything_below(child))}


def test_the_taxonomy_has_one_root_and_every_class_is_listed_once() -> None:
    below = {cls for cls in everything_below(IcehaulError) if cls.__module__ == "consumer.domain.errors"}
    assert below == set(CLASSES)
    assert sorted(ANCHORS) == sorted(cls.__name__.lower() for cls in CLASSES)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_class_says_what_it_means_what_happens_and_what_to_do(cls: type[IcehaulError]) -> None:
    meaning, advice = documented(cls)
    section = PAGE.split(f"\n## {cls.__name__}\n")[1].split("\n## ")[0]
    assert meaning in section
    assert f"**Reaction:** {cls.reaction}" in section
    assert advice in section
    assert advice or cls is IcehaulError


@pytest.mark.parametrize("cls", [*CLASSES, StackNotRunningError, PortTakenError, DemoFailure])
def test_the_anchor_of_every_error_exists(cls: type[IcehaulError]) -> None:
    page, _, anchor = cls("something is wrong", remedy="mend it").anchor.partition("#")
    assert (ROOT / page).is_file()
    assert anchor in ANCHORS


def test_a_private_kind_of_error_leads_to_the_class_that_it_is_a_kind_of() -> None:
    assert PortTakenError("x", remedy="y").anchor.endswith("#embeddedstackerror")
    assert InvalidEventError("x", remedy="y").anchor.endswith("#invalideventerror")


def test_an_error_is_printed_with_message_remedy_and_anchor(capsys: pytest.CaptureFixture[str]) -> None:
    explain(SourceMissingError("the table a.b does not exist", remedy="create it"))
    assert capsys.readouterr().err.splitlines() == [
        "error: the table a.b does not exist",
        "remedy: create it",
        "more: docs/reference/errors.md#sourcemissingerror",
    ]
