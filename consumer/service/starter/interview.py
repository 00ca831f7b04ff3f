"""Asking where a guess is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from consumer.domain.duration import format_duration
from consumer.domain.stream import Layer
from consumer.service.starter.draft import Names, StreamDraft, Surroundings, with_time_column


class Ask(Protocol):
    """Somebody who answers."""

    def choose(self, question: str, options: Sequence[str], default: str) -> str:
        """Return one of the options."""
        ...

    def duration(self, question: str, default: timedelta) -> timedelta:
        """Return a span of time."""
        ...

    def table(self, question: str, default: str) -> str:
        """Return a name of the form ``namespace.table``."""
        ...


def ask_settle_lag(ask: Ask, default: timedelta) -> timedelta:
    """Ask once how late rows may arrive, for no column tells."""
    return ask.duration(
        f"How long after its timestamp may a row arrive ({format_duration(default)} is usual; what comes later is"
        " missed)?",
        default,
    )


def ask_time_column(ask: Ask, draft: StreamDraft, around: Surroundings) -> StreamDraft:
    """Ask for the time column where the guess is unsure."""
    ranking = draft.ranking
    if ranking.best is None or ranking.sure:
        return draft
    described = "\n".join(f"  {one.column.name}: {'; '.join(one.reasons)}" for one in ranking.candidates)
    answer = ask.choose(
        f"{draft.source}: which column tells when a row happened?\n{described}\n",
        [one.column.name for one in ranking.candidates],
        ranking.best.column.name,
    )
    chosen = next(one for one in ranking.candidates if one.column.name == answer)
    decided = replace(ranking, decided=True)
    return with_time_column(replace(draft, ranking=decided), chosen, around)


def ask_target(ask: Ask, draft: StreamDraft, names: Names) -> StreamDraft:
    """Ask for layer and target where no name tells the layer; a target that is taken is asked for again."""
    if draft.layer_known:
        return draft
    layer = Layer(ask.choose(f"{draft.source}: which layer is it?", [one.value for one in Layer], draft.layer.value))
    names.targets.discard(draft.target)
    _, _, table = draft.target.partition(".")
    target = ask.table(f"{draft.source}: which Iceberg table is its target?", f"{layer}.{table}")
    while target in names.targets:
        target = ask.table(f"{target} is another stream's target: which other one?", f"{layer}.{draft.name}")
    names.targets.add(target)
    return replace(draft, layer=layer, layer_known=True, target=target)
