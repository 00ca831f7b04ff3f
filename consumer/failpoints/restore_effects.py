"""The part of the catalogue that `icehaul restore` leads to."""

from __future__ import annotations

from consumer.failpoints.effect import LEDGER, SOURCE, Component, effects

RESTORER = effects(
    Component.RESTORER,
    (
        "staging.create",
        SOURCE,
        "the cold tier is proved to hold what is recorded, there is no staging table",
        "the staging table is there, and empty",
    ),
    (
        "staging.fill",
        SOURCE,
        "the staging table is empty",
        "the staging table holds the restored rows, nothing was compared",
    ),
    (
        "staging.take",
        SOURCE,
        "a staging table that was left holds what the destination lacks",
        "the staging table is this run's",
    ),
    (
        "staging.remove",
        SOURCE,
        "a staging table is empty, or of no use",
        "the staging table is gone",
    ),
    (
        "partition.restore",
        SOURCE,
        "a partition of restored rows stands in the staging table",
        "the partition stands in the destination",
    ),
    (
        "table.name",
        SOURCE,
        "the staging table holds all restored rows, there is no table of the destination's name",
        "the staging table has become the destination",
    ),
    (
        "restore.record",
        LEDGER,
        "dropped rows stand in the source again, the ledger does not know",
        "the ledger knows that the rows stand in the source again",
    ),
)
