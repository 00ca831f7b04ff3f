"""Data files that are damaged between their task and the publish: which of the checks finds what, by digest policy."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FileSelector, FileSystem

from consumer.adapters.spark.access import store_access
from consumer.bootstrap import Application
from consumer.domain.stream import DigestPolicy
from consumer.embedded.stack import EmbeddedStack
from consumer.failpoints.acting import Failpoints
from consumer.ports import BatchRecord
from spark.object_store import connect, key_of
from tests.support.local_platform import LocalPlatform, judge, local_platform, offload, published
from tests.support.platform import day

ROWS = 1000
_TRAILER = 8


def footer_of(content: bytes) -> slice:
    """Where the footer stands in a file."""
    end = len(content) - _TRAILER
    return slice(end - int.from_bytes(content[end : end + 4], "little"), end)


def flipped(content: bytes, place: int) -> bytes:
    """The content with one bit of the byte at a place turned over."""
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


def truncated(content: bytes, _other: bytes) -> bytes:
    return content[: len(content) // 2]


def footer_cut_off(content: bytes, _other: bytes) -> bytes:
    return content[: footer_of(content).start]


def bit_in_a_page(content: bytes, _other: bytes) -> bytes:
    return flipped(content, footer_of(content).start // 3)


def bit_in_the_bounds(content: bytes, _other: bytes) -> bytes:
    """A bit of the greatest symbol: the file still reads, row by row, as it was written."""
    place = content.index(b"ETH", footer_of(content).start)
    damaged = flipped(content, place)
    assert pq.read_table(io.BytesIO(damaged)).equals(pq.read_table(io.BytesIO(content)))
    return damaged


def a_row_less(content: bytes, _other: bytes) -> bytes:
    table = pq.read_table(io.BytesIO(content))
    return _parquet(table.slice(1))


def other_values(content: bytes, _other: bytes) -> bytes:
    """A whole file of as many rows, but for one value."""
    table = pq.read_table(io.BytesIO(content))
    position = table.schema.get_field_index("seq")
    field = table.schema.field(position)
    values = table["seq"].to_pylist()
    return _parquet(table.set_column(position, field, pa.array([values[0] + 1, *values[1:]], field.type)))


def file_of_another_batch(_content: bytes, other: bytes) -> bytes:
    return other


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False)
    return sink.getvalue()


@dataclass(frozen=True)
class Damage:
    """What happens to a file, and what the check says."""

    do: Callable[[bytes, bytes], bytes]
    says: str
    found_without_digest: bool = True


DAMAGES = (
    Damage(truncated, "truncated or corrupt"),
    Damage(footer_cut_off, "truncated or corrupt"),
    Damage(bit_in_a_page, "ClickHouse|stand in the files", found_without_digest=False),
    Damage(bit_in_the_bounds, "checksum of the footer"),
    Damage(a_row_less, "size in bytes"),
    Damage(other_values, "size in bytes"),
    # Files of different rows may be of one size by chance.
    Damage(file_of_another_batch, "size in bytes|row count"),
)


class Vandal(Failpoints):
    """A stream's source, and who damages its newest data file between the task and the check, once for each damage."""

    def __init__(self, platform: LocalPlatform, table: str) -> None:
        super().__init__()
        self._platform = platform
        self._table = table
        self._store: FileSystem = connect(store_access(platform.configuration().store))
        self._days = count(1)
        self._damage: Damage | None = None
        self._known: set[str] = set()
        self._whole: str = ""
        self.stream = f"{platform.name}_{table}"
        self.rows = 0
        self.damaged = ""

    def offload_a_day(self, consumer: Application, damage: Damage | None) -> BatchRecord:
        """Offload one day more, whose file is damaged, and return its batch."""
        number = next(self._days)
        # No two days have as many rows.
        rows = ROWS + number
        self._platform.insert(rows, table=self._table, day=f"2024-01-{number:02}", first=self.rows)
        self.rows += rows
        self._damage = damage
        assert offload(consumer, self.stream, day(f"2024-01-{number + 1:02}")) == []
        return published(consumer, self.stream)[-1]

    def hit(self, point: str) -> None:
        if point != "batch.after-write":
            return
        (written,) = self._files() - self._known
        if self._damage is not None:
            damage, self._damage = self._damage, None
            changed = damage.do(self._read(written), self._read(self._whole))
            with self._store.open_output_stream(written) as out:
                out.write(changed)
            self.damaged = written
        else:
            self._whole = written
        self._known.add(written)

    def _files(self) -> set[str]:
        root = f"{key_of(self._platform.configuration().store.warehouse)}/{self._platform.name}/{self._table}/data"
        found = self._store.get_file_info(FileSelector(root, recursive=True))
        return {one.path for one in found if one.is_file}

    def _read(self, path: str) -> bytes:
        with self._store.open_input_stream(path) as stored:
            return bytes(stored.read())


Watched = tuple[Vandal, Application]


@pytest.fixture(scope="module")
def scenes(
    stack: EmbeddedStack, ledger_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[DigestPolicy, Watched]]:
    """A stream of each policy, of which a day is in the cold tier already."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with (
        ExitStack() as running,
        pytest.MonkeyPatch.context() as patch,
        local_platform(stack.endpoints, name, ledger_dsn, tmp_path_factory.mktemp("damaged"), patch) as platform,
    ):
        for policy in DigestPolicy:
            platform.add_stream(policy.value, digest=policy.value)
        made = {}
        for policy in DigestPolicy:
            vandal = Vandal(platform, policy.value)
            consumer = running.enter_context(platform.consumer(failpoints=vandal))
            vandal.offload_a_day(consumer, None)
            made[policy] = (vandal, consumer)
        yield made


FINDABLE = [
    pytest.param(
        damage,
        policy,
        id=f"{damage.do.__name__}-{policy}",
        marks=() if policy is DigestPolicy.ALWAYS else pytest.mark.thorough,
    )
    for damage in DAMAGES
    for policy in DigestPolicy
    if policy is DigestPolicy.ALWAYS or damage.found_without_digest
]


@pytest.mark.parametrize(("damage", "policy"), FINDABLE)
def test_a_damaged_file_is_found_before_the_publish_and_the_batch_is_written_again(
    scenes: dict[DigestPolicy, Watched], damage: Damage, policy: DigestPolicy, capfd: pytest.CaptureFixture[str]
) -> None:
    vandal, consumer = scenes[policy]

    batch = vandal.offload_a_day(consumer, damage)

    logged = capfd.readouterr()
    assert re.search(damage.says, logged.out + logged.err)
    assert batch.attempts == 2
    settings = consumer.streams[vandal.stream]
    assert f"s3://{vandal.damaged}" not in consumer.catalog.data_files(settings.target, settings.partition_by, None)
    judge(consumer, vandal.stream, rows=vandal.rows)


def test_without_a_digest_a_bit_in_a_page_is_found_by_the_audit_afterwards(
    scenes: dict[DigestPolicy, Watched],
) -> None:
    vandal, consumer = scenes[DigestPolicy.ON_DEMAND]

    batch = vandal.offload_a_day(consumer, Damage(bit_in_a_page, ""))

    assert batch.attempts == 1
    audit = consumer.auditor.audit(consumer.streams[vandal.stream])
    assert "tiers" in {check.name for check in audit.checks if not check.clean}
