"""The catalogue's part of a publish in two steps, where the catalog lies outside the ledger's database."""

from __future__ import annotations

from consumer.failpoints.effect import CATALOG, LEDGER, Component, effects

TWO_STEP = effects(
    Component.TWO_STEP,
    (
        "publish.intend",
        LEDGER,
        "the manifests are on the store, the ledger does not know what is about to be committed",
        "the intent is recorded, nothing was sent to the catalog",
    ),
    (
        "publish.send",
        CATALOG,
        "the intent is recorded, the commit is about to be sent to the catalog",
        "the commit is in the table, the ledger knows the intent only",
    ),
    (
        "publish.record",
        LEDGER,
        "the commit is in the table and the catalog has said so, nothing is recorded",
        "the batch is recorded as published, its intent is gone",
    ),
    (
        "publish.forget",
        LEDGER,
        "the catalog has refused the commit for certain, its intent is recorded",
        "the refused intent is gone, its manifests are on the store",
    ),
    (
        "publish.heal",
        LEDGER,
        "the table was asked what became of open intents, the ledger does not know",
        "what the table says of open intents is recorded",
    ),
    (
        "table.seal",
        CATALOG,
        "a commit whose outcome is unknown may still land, the seal against it is staged",
        "the table has moved on from the base of a commit whose outcome was unknown",
    ),
)
