"""The history of a source's columns, as the ledger keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from consumer.domain.schema_history import KnownColumn, SchemaEra, SchemaHistory
from consumer.domain.type_choices import As


def schemas_to_json(history: SchemaHistory) -> str:
    """Return a history as JSON."""
    return json.dumps(
        [{"since": era.since.isoformat(), "columns": [_to_json(column) for column in era.columns]} for era in history]
    )


def schemas_from_json(eras: Sequence[Mapping[str, Any]]) -> SchemaHistory:
    """Rebuild a history."""
    return tuple(
        SchemaEra(
            since=datetime.fromisoformat(era["since"]).astimezone(UTC),
            columns=tuple(_from_json(column) for column in era["columns"]),
        )
        for era in eras
    )


def _to_json(column: KnownColumn) -> dict[str, Any]:
    told: dict[str, Any] = {"name": column.name, "type": column.type}
    if column.chosen is not None:
        told["chosen"] = column.chosen.value
    if column.former:
        told["former"] = list(column.former)
    return told


def _from_json(column: Mapping[str, Any]) -> KnownColumn:
    chosen = column.get("chosen")
    return KnownColumn(
        name=column["name"],
        type=column["type"],
        chosen=None if chosen is None else As(chosen),
        former=tuple(column.get("former", ())),
    )
