"""A source whose columns are changed, and what its target becomes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pyiceberg.table import Table

from consumer.bootstrap import Application
from tests.support.local_platform import LocalPlatform, offload
from tests.support.platform import day


def alter(platform: LocalPlatform, change: str) -> None:
    """Change the source, and wait until its parts are changed, too."""
    platform.client.command(f"ALTER TABLE {platform.name}.trades {change} SETTINGS mutations_sync = 2")


def table_of(application: Application, stream: str) -> Table:
    """The target as it stands now."""
    base = application.catalog._bases.load(application.streams[stream].target)
    assert base is not None
    return base.table(application.catalog._io)


def rows_of(application: Application, stream: str, *columns: str) -> list[dict[str, Any]]:
    """The rows of the table as PyIceberg reads them, in their order."""
    found = table_of(application, stream).scan(selected_fields=("ts", *columns)).to_arrow().to_pylist()
    return [{name: row[name] for name in columns} for row in sorted(found, key=lambda row: row["ts"])]


def until(on: str) -> datetime:
    """The beginning of a day."""
    return day(on)


def offload_days(application: Application, stream: str, *days: str) -> None:
    """Offload up to the beginning of each day, one batch after the other, none of which fails."""
    for each in days:
        assert offload(application, stream, until(each)) == []


def field_ids(application: Application, stream: str) -> dict[str, int]:
    """The ids of the top level fields of the target."""
    return {field.name: field.field_id for field in table_of(application, stream).schema().fields}
