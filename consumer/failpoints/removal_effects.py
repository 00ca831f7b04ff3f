"""The part of the catalogue that the removal of files leads to."""

from __future__ import annotations

from consumer.failpoints.effect import LEDGER, STORE, Component, effects

REMOVER = effects(
    Component.REMOVER,
    (
        "attempts.close",
        LEDGER,
        "batches of earlier owners look as if they were being written",
        "the batches that earlier owners have left are recorded as failed",
    ),
    (
        "files.note",
        LEDGER,
        "the files are found that nothing refers to, the ledger does not know",
        "the ledger knows since when each file has been superfluous, none is deleted",
    ),
    (
        "files.remove",
        STORE,
        "the grace period of some files has passed, they are on the store",
        "these files are deleted, the ledger lists them",
    ),
    (
        "files.forget",
        LEDGER,
        "these files are deleted, the ledger is about to take them off its list",
        "the ledger lists them no more",
    ),
)
