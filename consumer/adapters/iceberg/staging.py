"""Staging: writing a commit's metadata files against one exact base, without telling the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyiceberg.manifest import DataFile
from pyiceberg.table import TableProperties, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import (
    AddSchemaUpdate,
    RemoveSnapshotRefUpdate,
    RemoveSnapshotsUpdate,
    SetCurrentSchemaUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
)

from consumer.adapters.iceberg.expiry import expired_snapshots
from consumer.adapters.iceberg.merging import LevelledAppend
from consumer.adapters.iceberg.next_metadata import next_metadata
from consumer.adapters.iceberg.overwriting import Overwrite
from consumer.domain.errors import SchemaMovedError
from consumer.domain.evolution import Evolution


class StagedCommit(Transaction):
    """A transaction that is never committed through PyIceberg.

    PyIceberg's own commit answers a moved base by rebasing and trying again; ours must never do that, because what
    was checked was checked against the base. Besides, the parent class builds a deep copy of the whole metadata
    whenever it is looked at, which makes the cost of a commit grow with the number of snapshots.
    """

    _evolved: TableMetadata | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The base's metadata, with the schema of this commit: nothing else that is staged here is built upon."""
        return self._table.metadata if self._evolved is None else self._evolved

    def evolve(self, evolution: Evolution) -> bool:
        """Give the table the schema that files were written with, before they are added; tell whether it changes.

        Raises:
            SchemaMovedError: if it has neither that schema nor the one that was to change into it.
        """
        base = self._table.metadata
        now = base.schema().as_struct()
        if now == evolution.schema.as_struct():
            return False
        if now != evolution.base.as_struct():
            raise SchemaMovedError(
                f"the columns of {'.'.join(self._table.name())} were changed while rows were written for it",
                remedy="nothing to do: the event is planned again with the columns of now",
            )
        schema = evolution.schema
        self._stage((AddSchemaUpdate(schema_=schema), SetCurrentSchemaUpdate(schema_id=-1)))
        self._evolved = base.model_copy(
            update={
                "schemas": [*base.schemas, schema],
                "current_schema_id": schema.schema_id,
                "last_column_id": max(base.last_column_id, schema.highest_field_id),
            }
        )
        self.set_properties({TableProperties.DEFAULT_NAME_MAPPING: schema.name_mapping.model_dump_json()})
        return True

    def append_files(self, files: Sequence[DataFile], summary: Mapping[str, str]) -> int:
        """Write the manifest and the manifest list of a new snapshot, and return its id."""
        producer = LevelledAppend(
            operation=Operation.APPEND, transaction=self, io=self._table.io, snapshot_properties=dict(summary)
        )
        for file in files:
            producer.append_data_file(file)
        producer.commit()
        return producer.snapshot_id

    def replace_files(self, added: Sequence[DataFile], removed: Sequence[DataFile], summary: Mapping[str, str]) -> int:
        """Write the manifests of a new snapshot that removes files and adds others, and return its id.

        Raises:
            ValidationException: if a file that is to be removed is not live in the base.
        """
        producer = Overwrite(
            operation=Operation.OVERWRITE, transaction=self, io=self._table.io, snapshot_properties=dict(summary)
        )
        for file in removed:
            producer.delete_data_file(file)
        for file in added:
            producer.append_data_file(file)
        producer.commit()
        return producer.snapshot_id

    def expire(self, retain: int) -> None:
        """Remove the snapshots beyond the newest ``retain``, the appended one among them."""
        expired = expired_snapshots(self._table.metadata, retain)
        if expired:
            self._stage((RemoveSnapshotsUpdate(snapshot_ids=expired),))

    def tag(self, name: str, snapshot_id: int) -> None:
        """Give a snapshot a tag, which keeps it from being expired."""
        self._stage(
            (
                SetSnapshotRefUpdate(  # type: ignore[call-arg]  # its optional fields have defaults
                    ref_name=name, type=SnapshotRefType.TAG, snapshot_id=snapshot_id
                ),
            )
        )

    def untag(self, name: str) -> None:
        """Remove a tag."""
        self._stage((RemoveSnapshotRefUpdate(ref_name=name),))

    @property
    def evolves(self) -> bool:
        """Whether the table gets another schema."""
        return self._evolved is not None

    @property
    def changes(self) -> tuple[TableUpdate, ...]:
        """What is staged, as a catalog that applies it to its own metadata is told."""
        return self._updates

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that are set or removed."""
        return tuple(
            change.ref_name
            for change in self._updates
            if isinstance(change, SetSnapshotRefUpdate | RemoveSnapshotRefUpdate) and change.ref_name != MAIN_BRANCH
        )

    def result(self) -> TableMetadata:
        """Return the new table metadata, with the base in its log."""
        return next_metadata(self._table.metadata, self._updates, location=self._table.metadata_location)
