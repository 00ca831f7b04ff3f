"""Comparing the rows of windows: by bucket of the hash, and one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row, load_sql
from consumer.adapters.clickhouse.errors import file_error
from consumer.adapters.clickhouse.files import FILE_SETTINGS, FileReader
from consumer.domain.differing import Differing, DifferingRow
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.late_query import (
    cold_rows,
    hashes,
    hot_rows,
    keyed_hashes,
)
from consumer.domain.mapping import TableMapping
from consumer.domain.reconcile import HASH_BUCKETS, LATE_ROWS_MAX, Difference, LateRow
from consumer.domain.row_text import row_texts
from consumer.domain.stream import Stream
from consumer.domain.time_type import from_micros, to_micros
from consumer.domain.unit_query import LONG_QUERY_BYTES, file_rows, file_structure
from consumer.domain.window import BEGINNING, Window

# One query names every file.
COMPARISON_SETTINGS: Mapping[str, str | int] = {
    **FILE_SETTINGS,
    "max_query_size": LONG_QUERY_BYTES,
    "max_ast_elements": 10_000_000,
    "max_expanded_ast_elements": 10_000_000,
}


class FileComparison:
    """Compares a window's rows in the table with those in data files, all computed by ClickHouse."""

    def __init__(self, connection: ClickHouseConnection, files: FileReader) -> None:
        self._connection = connection
        self._files = files

    def counted(
        self,
        stream: Stream,
        mapping: TableMapping,
        windows: Sequence[Window],
        paths: Sequence[str],
        partition: str | None,
    ) -> tuple[int, int]:
        """Return how many rows the files lack, and how many they have besides those of the windows."""
        structure = file_structure(mapping)
        sides = [(hot_rows(stream, mapping, window, partition), 1) for window in windows]
        sides += [(file_rows(mapping, self._files.source(path, structure)), -1) for path in paths]
        every = " UNION ALL ".join(hashes(stream, mapping, rows, sign) for rows, sign in sides)
        ((missing, surplus),) = self._ask(load_sql("difference", hashes=every))
        return int(missing), int(surplus)

    def difference(
        self,
        stream: Stream,
        mapping: TableMapping,
        window: Window,
        paths: Sequence[str],
        *,
        not_before: datetime | None,
        sorting_key: str,
    ) -> Difference:
        """Return the multiset difference of a window's rows, of those hash buckets alone that differ.

        The buckets bound what the server has to remember: a hash for each row of the buckets that differ.
        """
        structure = file_structure(mapping)
        hot = hot_rows(stream, mapping, window)
        cold = [cold_rows(stream, mapping, window, self._files.source(path, structure)) for path in paths]
        present, recorded, chosen = self._differing_buckets(mapping, [hot], cold)
        if not chosen:
            alike = sum(present, EMPTY)
            return Difference(late=(), missing=0, refused=0, surplus=0, lost=0, hot=alike, cold=alike)
        sides = [keyed_hashes(stream, mapping, hot, 1, sorting_key)]
        sides += [keyed_hashes(stream, mapping, rows, -1, sorting_key) for rows in cold]
        ((missing, refused, surplus, lost, late),) = self._ask(
            load_sql(
                "late_rows",
                hashes=" UNION ALL ".join(sides),
                buckets=str(HASH_BUCKETS),
                chosen=", ".join(map(str, chosen)),
                limit=str(LATE_ROWS_MAX),
                not_before=f"toInt64({to_micros(BEGINNING if not_before is None else not_before)})",
            )
        )
        return Difference(
            late=tuple(
                LateRow(hash=int(hash_), rows=int(rows), instant=from_micros(int(micros)))
                for hash_, rows, micros in late
            ),
            missing=int(missing),
            refused=int(refused),
            surplus=int(surplus),
            lost=int(lost),
            hot=sum(present, EMPTY),
            cold=sum(recorded, EMPTY),
        )

    def differing(
        self, stream: Stream, mapping: TableMapping, window: Window, paths: Sequence[str], *, belongs: bool, most: int
    ) -> Differing:
        """Return what differs in a window, with the first ``most`` rows themselves; see :class:`VerifiedSource`.

        As for :meth:`difference`, the server has to remember the hashes of those buckets alone that differ.
        """
        structure = file_structure(mapping)
        hot = [hot_rows(stream, mapping, window)] if belongs else []
        cold = [cold_rows(stream, mapping, window, self._files.source(path, structure)) for path in paths]
        _, _, chosen = self._differing_buckets(mapping, hot, cold)
        if not chosen:
            return Differing(missing=0, surplus=0)
        sides = [hashes(stream, mapping, rows, sign) for queries, sign in ((hot, 1), (cold, -1)) for rows in queries]
        ((missing, surplus, first),) = self._ask(
            load_sql(
                "differing_rows",
                hashes=" UNION ALL ".join(sides),
                buckets=str(HASH_BUCKETS),
                chosen=", ".join(map(str, chosen)),
                limit=str(max(most, 1)),
            )
        )
        found = first[:most]
        values = self._values(mapping, [*hot, *cold], [int(hash_) for _, hash_, _, _ in found])
        return Differing(
            missing=int(missing),
            surplus=int(surplus),
            rows=[
                DifferingRow(
                    hash=int(hash_),
                    instant=from_micros(int(micros)),
                    hot=int(in_hot),
                    cold=int(in_cold),
                    values=values.get(int(hash_), {}),
                )
                for micros, hash_, in_hot, in_cold in found
            ],
        )

    def _values(
        self, mapping: TableMapping, queries: Sequence[str], wanted: Sequence[int]
    ) -> Mapping[int, Mapping[str, str | None]]:
        """Return rows by their hashes, each column's value as text."""
        if not wanted:
            return {}
        names = [column.name for column in mapping.columns]
        found = self._ask(
            load_sql(
                "row_values",
                digest=mapping.file_digest_sql(),
                texts=row_texts(mapping),
                rows=" UNION ALL ".join(queries),
                hashes=", ".join(map(str, wanted)),
            )
        )
        return {int(hash_): dict(zip(names, row, strict=True)) for hash_, row in found}

    def _differing_buckets(
        self, mapping: TableMapping, hot: Sequence[str], cold: Sequence[str]
    ) -> tuple[Sequence[Fingerprint], Sequence[Fingerprint], Sequence[int]]:
        """Return what each bucket holds of the table's rows and of the files', and the numbers of those that differ."""
        present = self._buckets(mapping.digest_sql(), hot)
        recorded = self._buckets(mapping.file_digest_sql(), cold)
        return present, recorded, [number for number in range(HASH_BUCKETS) if present[number] != recorded[number]]

    def _buckets(self, digest: str, queries: Sequence[str]) -> list[Fingerprint]:
        if not queries:
            return [EMPTY] * HASH_BUCKETS
        found = self._ask(
            load_sql(
                "bucket_digests",
                buckets=str(HASH_BUCKETS),
                digest=digest,
                rows=" UNION ALL ".join(queries),
            )
        )
        by_number = {int(number): Fingerprint(rows=int(count), digest=int(digest)) for number, count, digest in found}
        return [by_number.get(number, EMPTY) for number in range(HASH_BUCKETS)]

    def _ask(self, query: str) -> Sequence[Row]:
        return self._connection.rows(
            query, settings=COMPARISON_SETTINGS, secrets=self._files.secrets, meaning=file_error
        )
