"""How the columns of a source table become the columns of its target table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pyiceberg.schema import Schema
from pyiceberg.types import IcebergType, NestedField

DOC_PREFIX = "ClickHouse "
"""What the doc of a target's column says before the type of the source's column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumn:
    """A column as ``system.columns`` describes it; ``default`` is the expression of rows without a value, if any."""

    name: str
    type: str
    default: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """One column on its way from ClickHouse to Iceberg.

    Attributes:
        name: column name, the same on both sides.
        source_type: ClickHouse type of the source column; kept in the target column's doc.
        iceberg_type: exact Iceberg type.
        required: whether the target column is required (the source column is not Nullable).
        read_sql: ClickHouse expression over the source column that yields the wire value.
        wire_type: ClickHouse type of the wire value; also the column's type when ClickHouse reads the files.
        file_sql: ClickHouse expression over the column as read from a Parquet file that yields the wire value.
        file_type: ClickHouse type with which ClickHouse reads the column from a Parquet file.
        restore_sql: ClickHouse expression over the Iceberg column, as ClickHouse reads it; the source's value.
        digest_sql: ClickHouse expressions over the wire value, comma separated, that enter the row hash; they fail the
            query where text is not UTF-8.
        file_digest_sql: the same, without that check.
        default_sql: ClickHouse expression of the source's value in rows that have none; empty for the type's own.
        since: where the rows begin that were offloaded with this column, but for late ones; ``None`` if all were.
        stored: the columns of a Parquet file that the value may stand in, with their types; the column itself where
            there are none.
    """

    name: str
    source_type: str
    iceberg_type: IcebergType
    required: bool
    read_sql: str
    wire_type: str
    file_sql: str
    file_type: str
    restore_sql: str
    digest_sql: str
    file_digest_sql: str
    default_sql: str = ""
    since: datetime | None = None
    stored: tuple[tuple[str, str], ...] = ()

    @property
    def filled(self) -> bool:
        """Whether a DEFAULT is computed for rows of data files that are older than the column."""
        return bool(self.stored and self.default_sql)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMapping:
    """All columns of a stream, in the source's order.

    Attributes:
        columns: the columns.
        source_uuid: UUID of the table that was mapped: another one under its name is not read.
        digest: ClickHouse expression of a row's hash where that is not over all columns in their order: rows of
            windows that were written with other columns are hashed over those; ``None`` where all rows are alike.
        file_digest: the same without the check of text, for rows out of data files.
        partial: whether data files may lack columns, for they were written before the source had them.
        recorded: how rows of data files are read and hashed as they were when they were recorded, those columns too
            that the source has no longer; ``None`` where that is no other way.
        unstored: ALIAS and EPHEMERAL columns of the source, which defaults of other columns may name.
    """

    columns: tuple[ColumnMapping, ...]
    source_uuid: UUID | None = None
    digest: str | None = None
    file_digest: str | None = None
    partial: bool = False
    recorded: TableMapping | None = None
    unstored: tuple[SourceColumn, ...] = ()

    @property
    def as_recorded(self) -> TableMapping:
        """How rows of data files are read and hashed as they were when they were recorded."""
        return self if self.recorded is None else self.recorded

    def iceberg_schema(self) -> Schema:
        """Return the target's schema with fresh provisional field ids 1…n at the top level.

        Nested ids are assigned by the catalog when the table is created.
        """
        return Schema(
            *(
                NestedField(
                    field_id=number,
                    name=column.name,
                    field_type=column.iceberg_type,
                    required=column.required,
                    doc=f"{DOC_PREFIX}{column.source_type}",
                )
                for number, column in enumerate(self.columns, start=1)
            )
        )

    def digest_sql(self) -> str:
        """Return the ClickHouse expression of a row's 64-bit hash over the wire values of all columns."""
        if self.digest is not None:
            return self.digest
        return "cityHash64(" + ", ".join(column.digest_sql for column in self.columns) + ")"

    def file_digest_sql(self) -> str:
        """Return the expression of the same hash for rows out of data files, whatever bytes their text holds."""
        if self.file_digest is not None:
            return self.file_digest
        return "cityHash64(" + ", ".join(column.file_digest_sql for column in self.columns) + ")"
