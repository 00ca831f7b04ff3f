"""Tags behind a REST catalog: a request for each table, for few servers offer one commit over several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from consumer.adapters.iceberg.history import tags_of
from consumer.adapters.iceberg.placement import Placement
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.tagging import Change, Tagger, Tags, add_tag, check_tag, remove_tag
from consumer.domain.errors import (
    BaseMovedError,
    CatalogUnavailableError,
    IcehaulError,
    TargetMissingError,
    UnknownCommitError,
)
from consumer.domain.stream import TableName
from consumer.settings.connections import StoreSettings

_log = structlog.get_logger(__name__)

_ATTEMPTS = 20


def tagger_of(placement: Placement, store: StoreSettings) -> Tags:
    """Return what sets and removes tags where the catalog lies."""
    if placement.rows is None:
        return RestTagger(placement)
    return Tagger(
        database=placement.rows.database, rows=placement.rows, bases=placement.bases, io=placement.io, store=store
    )


class RestTagger:
    """Sets and removes tags one table after the other; what it has set is taken back where it can't set them all.

    The snapshots were chosen before, so it does not matter that tables move on between two requests. If it dies
    in the middle, a part of the tables has the tag: the same command again gives it to the rest.
    """

    def __init__(self, placement: Placement) -> None:
        self._bases = placement.bases
        self._pointers = placement.pointers
        self._io = placement.io

    def tag(self, name: str, snapshots: Mapping[TableName, int]) -> None:
        """Give one tag to a snapshot of each table; see :meth:`Tags.tag`."""
        check_tag(name)
        done: list[TableName] = []
        try:
            for table, snapshot_id in sorted(snapshots.items(), key=lambda item: str(item[0])):
                if self._change(table, partial(add_tag, name, snapshot_id)):
                    done.append(table)
        except IcehaulError:
            self._take_back(name, done)
            raise

    def untag(self, name: str, tables: Sequence[TableName]) -> Sequence[TableName]:
        """Remove a tag; see :meth:`Tags.untag`."""
        having = [one for one in tables if (base := self._bases.load(one)) and name in tags_of(base.metadata)]
        for table in sorted(having, key=str):
            self._change(table, partial(remove_tag, name))
        return having

    def _take_back(self, name: str, tables: Sequence[TableName]) -> None:
        for table in tables:
            try:
                self._change(table, partial(remove_tag, name))
            except IcehaulError as error:
                _log.warning("tag.left_behind", tag=name, table=str(table), error=error.message)

    def _change(self, table: TableName, change: Change) -> bool:
        """Change one table's tags until they are as wanted; tell whether there was anything to change."""
        changed = False
        for _ in range(_ATTEMPTS):
            base = self._bases.load(table)
            if base is None:
                raise TargetMissingError(f"the table {table} does not exist", remedy="restore it in the catalog")
            commit = StagedCommit(base.table(self._io))
            if not change(base, commit):
                return changed
            changed = True
            try:
                self._pointers.commit(base, commit)
            except (BaseMovedError, UnknownCommitError) as error:
                # The next look tells what the table has.
                _log.info("tags.read_again", table=str(table), error=error.message)
        raise CatalogUnavailableError(
            f"the table {table} moved on {_ATTEMPTS} times while its tags were being set",
            remedy="run the same command again, with the same --at, or for fewer streams at once",
        )
