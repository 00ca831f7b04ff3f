"""An export from its statement to the finished file, with ClickHouse and the store played by this test."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField

from consumer.domain.batch import WrittenFile
from consumer.domain.errors import CheckFailedError, EngineFailedError, StoreUnavailableError
from consumer.domain.export_query import ATTEMPT, PROOF_COLUMN
from consumer.domain.fingerprint import Fingerprint
from consumer.failpoints.acting import Failpoints
from spark import unit_export
from spark.unit_task import ExportOrder, FileLayout, JobContext, SourceAccess, StoreAccess, UnitTask

NUMBER = UUID(int=7)
RAW, FINAL = (f"s3://lake/p/00003-{NUMBER}.{kind}" for kind in ("export", "parquet"))
CONTEXT = JobContext(
    source=SourceAccess(
        host="h",
        port=1,
        user="u",
        password="p",
        secure=False,
        verify=True,
        ca_file=None,
        connect_timeout_s=1,
        query_timeout_s=1,
        settings=(),
        block_rows=1024,
    ),
    store=StoreAccess(endpoint=None, region="r", access_key=None, secret_key=None, path_style=True),
    layout=FileLayout(
        schema_json=Schema(NestedField(5, "n", LongType(), required=True)).model_dump_json(),
        row_group_rows=1000,
        row_group_bytes=1 << 20,
    ),
)
ORDER = ExportOrder(statement=f"INSERT … '{ATTEMPT}'", may_stream=False)
TASK = UnitTask(index=3, batch_id="b", query="", prefix="s3://lake/p", export=ORDER)


@dataclass
class Played:
    """What ClickHouse counts and leaves on the store, and what is on the store afterwards."""

    written: int = 3
    left: bytes | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)

    def export(self) -> WrittenFile | None:
        return unit_export.export_unit(CONTEXT, TASK, ORDER, NUMBER, Failpoints())


class Answer:
    def read(self) -> bytes:
        return b""


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    found = Played(left=parquet(["3:42"] * 3))

    @contextmanager
    def answered(_access: object, statement: str, _settings: object, _secret: object) -> Iterator[Answer]:
        found.statements.append(statement)
        if found.left is not None:
            found.files[RAW] = found.left
        yield Answer()

    def read_tail(_access: object, uri: str, length: int) -> tuple[int, bytes] | None:
        content = found.files.get(uri)
        return None if content is None else (len(content), content[-length:])

    def write_with_tail(_access: object, source: str, target: str, kept: int, tail: bytes) -> None:
        found.files[target] = found.files[source][:kept] + tail

    played: dict[str, Any] = {
        "answered": answered,
        "counted": lambda *_: found.written,
        "read_tail": read_tail,
        "write_with_tail": write_with_tail,
        "remove": lambda _, uri: found.files.pop(uri, None),
    }
    for name, function in played.items():
        monkeypatch.setattr(unit_export, name, function)
    return found


def parquet(proofs: list[str], columns: tuple[str, ...] = ("n",)) -> bytes:
    sink = pa.BufferOutputStream()
    numbers = pa.array(range(len(proofs)), pa.int64())
    schema = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in columns] + [(PROOF_COLUMN, pa.string())])
    pq.write_table(pa.table([numbers] * len(columns) + [pa.array(proofs, pa.string())], schema=schema), sink)
    return bytes(sink.getvalue())


def test_the_finished_file_has_the_rows_with_the_proofs_count_and_digest_and_the_raw_one_is_gone(
    played: Played, tmp_path: Any
) -> None:
    file = played.export()

    assert file is not None
    content = played.files[FINAL]
    assert (file.unit, file.path, file.bytes) == (3, FINAL, len(content))
    assert file.fingerprint == Fingerprint(rows=3, digest=42)
    assert set(played.files) == {FINAL}
    (tmp_path / "f").write_bytes(content)
    table = pq.read_table(tmp_path / "f")
    assert table.to_pydict() == {"n": [0, 1, 2]}
    assert table.schema.field("n").metadata[b"PARQUET:field_id"] == b"5"
    length = int.from_bytes(content[-8:-4], "little")
    assert file.footer_crc == zlib.crc32(content[-8 - length : -8])


def test_the_statement_names_the_attempts_own_path(played: Played) -> None:
    played.export()

    assert played.statements == [f"INSERT … '{NUMBER}'"]


@pytest.mark.parametrize(
    ("written", "proofs"), [(3, ["4:42"] * 3), (4, ["3:42"] * 3), (4, ["4:42"] * 3), (3, ["2:42"] * 3)]
)
def test_counts_of_source_server_and_file_that_differ_are_an_error_and_no_file_is_made(
    played: Played, written: int, proofs: list[str]
) -> None:
    played.written, played.left = written, parquet(proofs)

    with pytest.raises(CheckFailedError, match=f"{written} written, 3 stand in the file"):
        played.export()

    assert played.files == {}


def test_no_row_is_no_file_even_where_clickhouse_leaves_one(played: Played) -> None:
    played.written, played.left = 0, parquet([])

    assert played.export() is None
    assert played.files == {}


def test_a_file_that_is_not_there_is_an_error_that_names_both_endpoints(played: Played) -> None:
    played.left = None

    with pytest.raises(StoreUnavailableError) as missing:
        played.export()
    assert "clickhouse.store_endpoint and store.endpoint" in missing.value.remedy


@pytest.mark.parametrize("damage", [lambda file: file[:-1], lambda file: file[: len(file) // 2], lambda _: b""])
def test_a_truncated_file_is_an_error(played: Played, damage: Any) -> None:
    played.left = damage(parquet(["3:42"] * 3))

    with pytest.raises((CheckFailedError, EngineFailedError)):
        played.export()
    assert played.files == {}


def test_columns_that_are_not_the_targets_are_an_error_with_the_way_out(played: Played) -> None:
    played.left = parquet(["3:42"] * 3, ("n", "more"))

    with pytest.raises(EngineFailedError) as unusable:
        played.export()
    assert "spark.writer to stream" in unusable.value.remedy
    assert played.files == {}
