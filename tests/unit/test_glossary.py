"""The glossary has every word of the design, explains it by words that it has too, and points to what there is."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "glossary.md"
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in PAGE.read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| term ")
]
TERMS = [term for term, _, _ in ROWS]
DESIGN = """
hot tier, cold tier, stream, event, tick, partition close, window, batch, unit, attempt, ledger, watermark, publish,
lease, epoch, fence, fingerprint, supplement, rewind, reconcile, settle lag, row span, lag, upstream, layer, cutoff,
generation, evidence, digest, halted, parked, dead letter, outbox, divergence, late row
"""
EMPHASIS = re.compile(r"(?<!\*)\*([a-z][a-z ]+)\*(?!\*)")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
STRESSED = {"and", "below", "before", "not", "existing", "unknown"}
"""Words of the pages that are stressed, not named."""


def singular(word: str) -> str:
    """A term as the glossary lists it."""
    return word.removesuffix("s") if word not in TERMS else word


@pytest.mark.parametrize("term", [" ".join(term.split()) for term in DESIGN.split(",")])
def test_every_word_of_the_design_is_explained(term: str) -> None:
    assert term in TERMS


def test_the_terms_stand_in_alphabetical_order_once_each() -> None:
    assert sorted(set(TERMS)) == TERMS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_word_that_a_page_names_as_a_term_is_in_the_glossary(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    used = {singular(word) for word in EMPHASIS.findall(text)} - STRESSED
    assert used - set(TERMS) == set()


@pytest.mark.parametrize(("term", "meaning", "place"), ROWS, ids=TERMS)
def test_what_a_term_means_is_in_the_code_under_that_name(term: str, meaning: str, place: str) -> None:
    if place.startswith("ADR"):
        assert "not in this version" in meaning
        assert list((ROOT / "docs" / "adr").glob(f"{int(place.removeprefix('ADR ')):04}-*.md"))
        return
    module, *names = re.split(r"\.(?=[A-Z])|(?<=[a-z])\.(?=check_)", place.strip("`"), maxsplit=1)
    found: object = import_module(module)
    for name in names[0].split(".") if names else ():
        assert hasattr(found, name) or name in getattr(found, "__annotations__", ()), f"{found} has no {name}"
        found = getattr(found, name, None)
