"""The footer of a Parquet file: a Thrift structure (parquet.thrift of the Parquet format), to be read and changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from struct import error as StructError  # noqa: N812 - a class

from thrift.Thrift import TException, TType

from spark.thrift_struct import Struct, read_struct, write_struct

MAGIC = b"PAR1"
TRAILER_BYTES = 8
"""What follows the footer: its length and Parquet's magic number, four bytes each."""

# FileMetaData
_SCHEMA, _ROWS, _ROW_GROUPS, _COLUMN_ORDERS = 2, 3, 4, 7
# SchemaElement
_REPETITION, _NAME, _CHILDREN = 3, 4, 5
_REQUIRED = 0
# RowGroup, ColumnChunk, ColumnMetaData, Statistics
_COLUMNS, _BYTES, _COMPRESSED_BYTES = 1, 2, 6
_METADATA = 3
_UNCOMPRESSED, _COMPRESSED = 6, 7
STATISTICS = 12
NULLS, GREATEST, LEAST = 3, 5, 6
"""Fields of a column's statistics."""


class FooterError(ValueError):
    """The footer is not one of a file with the expected columns; the message says where they differ."""


@dataclass(slots=True)
class Node:
    """A schema element with those below it, and whether a value of it is always there, once for each row."""

    element: Struct
    children: list[Node]
    always: bool

    @property
    def name(self) -> str:
        """The element's name, without those above it."""
        return str(self.element[_NAME][1].decode())

    def leaves(self) -> Iterator[Node]:
        """Yield the elements that have columns, in their order."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


class ParquetFooter:
    """The metadata of one Parquet file, without length and magic number behind them.

    Raises:
        FooterError: if the bytes are no such metadata.
    """

    def __init__(self, content: bytes) -> None:
        with understood():
            self._data: Struct = read_struct(content)
            self.rows = int(self._data[_ROWS][1])
            self._elements: list[Struct] = self._data[_SCHEMA][1][1]

    def to_bytes(self) -> bytes:
        """Return the metadata as they stand in a file."""
        return write_struct(self._data)

    def take_constant(self, name: str) -> str | None:
        """Remove a top-level column of text, and return its one value; ``None`` where the file has no rows.

        Its pages stay in the file, where nothing points at them.

        Raises:
            FooterError: if there is no such column, or its statistics do not show one value for every row.
        """
        with understood():
            top = _tree(self._elements).children
            found = next((node for node in top if node.name == name), None)
            if found is None or found.children:
                raise FooterError(f"column {name} is missing")
            values = self._take(found, top)
        if len(values) > 1:
            raise FooterError(f"column {name} is not one value in every row")
        return values.pop().decode() if values else None

    def _take(self, found: Node, top: Sequence[Node]) -> set[bytes]:
        """Remove a column, and return the bounds of it in all row groups."""
        number = [id(leaf.element) for node in top for leaf in node.leaves()].index(id(found.element))
        values: set[bytes] = set()
        for group in self._groups():
            chunk = group[_COLUMNS][1][1].pop(number)
            metadata: Struct = chunk[_METADATA][1]
            _shrink(group, metadata)
            statistics: Struct = metadata.get(STATISTICS, (TType.STRUCT, {}))[1]
            if self.rows == 0:
                continue
            if statistics.get(NULLS, (TType.I64, 0))[1] or not {GREATEST, LEAST} <= statistics.keys():
                raise FooterError(f"column {found.name} is not one value in every row")
            values |= {statistics[GREATEST][1], statistics[LEAST][1]}
        if _COLUMN_ORDERS in self._data:
            self._data[_COLUMN_ORDERS][1][1].pop(number)
        self._elements.remove(found.element)
        root = self._elements[0]
        root[_CHILDREN] = (TType.I32, root[_CHILDREN][1] - 1)
        return values

    def columns(self) -> Iterator[tuple[Node, Struct]]:
        """Yield every column of every row group: its schema element, and its metadata."""
        leaves = list(self.root.leaves())
        for group in self._groups():
            for leaf, chunk in zip(leaves, group[_COLUMNS][1][1], strict=True):
                yield leaf, chunk[_METADATA][1]

    @property
    def root(self) -> Node:
        """The schema as a tree, whose elements may be changed."""
        return _tree(self._elements)

    def _groups(self) -> list[Struct]:
        groups: list[Struct] = self._data[_ROW_GROUPS][1][1]
        return groups


@contextmanager
def understood() -> Iterator[None]:
    """Turn what a structure of another shape leads to into a FooterError.

    Raises:
        FooterError
    """
    try:
        yield
    except FooterError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        StructError,
        TException,
        TypeError,
        ValueError,
    ) as error:
        raise FooterError(f"it is no metadata of a Parquet file: {error!r}") from error


def footer_length(trailer: bytes) -> int:
    """Return the footer's length in bytes, from the last eight bytes of a file.

    Raises:
        FooterError: if they are not those of a Parquet file.
    """
    if len(trailer) != TRAILER_BYTES or trailer[-len(MAGIC) :] != MAGIC:
        raise FooterError(f"it ends with {trailer!r}")
    return int.from_bytes(trailer[:4], "little")


def with_trailer(footer: bytes) -> bytes:
    """Return a footer with its length and the magic number behind it, as a file ends."""
    return footer + len(footer).to_bytes(4, "little") + MAGIC


def _shrink(group: Struct, metadata: Struct) -> None:
    """Take a column's bytes out of the totals of its row group, where those are told."""
    for total, part in ((_BYTES, _UNCOMPRESSED), (_COMPRESSED_BYTES, _COMPRESSED)):
        if total in group:
            kind, value = group[total]
            group[total] = (kind, value - metadata[part][1])


def _tree(elements: Sequence[Struct]) -> Node:
    """Return the schema as a tree: the elements stand depth first, each with the number of its children."""
    remaining = iter(elements)

    def build(*, always: bool, root: bool = False) -> Node:
        element = next(remaining)
        always = always and (root or element.get(_REPETITION, (TType.I32, _REQUIRED))[1] == _REQUIRED)
        children = [build(always=always) for _ in range(element.get(_CHILDREN, (TType.I32, 0))[1])]
        return Node(element, children, always)

    try:
        return build(always=True, root=True)
    except StopIteration as error:
        raise FooterError("its schema ends early") from error
