"""The part of the catalogue that maintenance leads to, besides the steps that all batches have."""

from __future__ import annotations

from consumer.failpoints.effect import LEDGER, Component, effects

MAINTAINER = effects(
    Component.MAINTAINER,
    (
        "maintenance.abandon",
        LEDGER,
        "a rewrite is about to be planned, one of a former owner may count as under way",
        "rewrites of former owners are recorded as failed",
    ),
    (
        "maintenance.note",
        LEDGER,
        "a task of maintenance has nothing more to do, this is not recorded",
        "it is recorded when the task had nothing more to do",
    ),
)
