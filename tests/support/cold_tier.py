"""A cold tier of a test's own: ledger, catalog, and other hands that change the table behind our back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import parquet
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import _dataframe_to_data_files, schema_to_pyarrow
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate
from pyiceberg.table.update.snapshot import _OverwriteFiles
from pyiceberg.typedef import EMPTY_DICT
from pyiceberg.types import IcebergType, ListType, LongType, StringType, TimestamptzType

from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.adapters.iceberg.store import StoreFileIO
from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.ledger import PostgresLedger
from consumer.adapters.postgres.migrations import migrate
from consumer.domain.batch import Batch, BatchKind, Replacement, Unit, WrittenFile, batch_id
from consumer.domain.event import Coordinates
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import ColumnMapping, TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import Window
from consumer.embedded.endpoints import Endpoints
from consumer.failpoints.acting import Failpoints
from consumer.ports import Catalog, Claim, Ledger, Publication, TargetTable, Trigger
from consumer.settings.connections import CatalogSettings, PostgresSettings, StoreSettings
from consumer.testing.catalog import MemoryCatalog
from consumer.testing.ledger import MemoryLedger

Catalogs = SqlCatalog | RestCatalog
"""PyIceberg's own catalogs, as other engines on the same tables."""

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TTL = timedelta(minutes=10)
SOURCE = UUID("11111111-1111-4111-8111-111111111111")


TRIGGER = Trigger(
    event_id="tick-1",
    coordinates=Coordinates(topic="icehaul.events", partition=3, offset=7),
    trace_id="0af7651916cd43dd8448eb211c80319c",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


def column(name: str, kind: IcebergType, *, required: bool = False) -> ColumnMapping:
    return ColumnMapping(
        name=name,
        source_type="Test",
        iceberg_type=kind,
        required=required,
        read_sql=name,
        wire_type="Test",
        file_sql=name,
        file_type="Test",
        restore_sql=name,
        digest_sql=name,
        file_digest_sql=name,
    )


MAPPING = TableMapping(
    columns=(
        column("ts", TimestamptzType(), required=True),
        column("id", LongType(), required=True),
        column("note", StringType()),
        column("tags", ListType(element_id=100, element_type=StringType(), element_required=False)),
    )
)

STREAM = Stream(
    name="trades",
    source=TableName.parse("market.trades"),
    target=TableName.parse("bronze.trades"),
    timestamp_column="ts",
    sequence_columns=("id",),
    retain_snapshots=20,
)


def rows_of(window: Window, count: int, *, note: str = "n") -> pa.Table:
    """Rows spread over a window, the first one at its lower bound."""
    span = (window.upper - window.lower) / max(count, 1)
    return pa.table(
        {
            "ts": [window.lower + span * number for number in range(count)],
            "id": list(range(count)),
            "note": [note if number % 2 else None for number in range(count)],
            "tags": [["a", "b"][: number % 3] for number in range(count)],
        }
    )


def parquet_bytes(rows: pa.Table, target: TargetTable, *, codec: str = "zstd", group: int = 1_000_000) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(rows.cast(schema_to_pyarrow(target.schema)), sink, compression=codec, row_group_size=group)
    content: bytes = sink.getvalue().to_pybytes()
    return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A batch that is begun and recorded, and as far as it has files, ready to be published."""

    publication: Publication

    @property
    def file(self) -> WrittenFile:
        """Its only file."""
        (file,) = self.publication.files
        return file


class _Rewrite(_OverwriteFiles):
    """A snapshot of other files with the same rows; PyIceberg has no public operation for it."""

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        summary = super()._summary(snapshot_properties)
        return Summary(Operation.REPLACE, **summary.additional_properties)


class ColdTier(ABC):
    """Ledger and catalog of one test, and what others do to the table."""

    ledger: Ledger
    catalog: Catalog
    stream: Stream = STREAM
    mapping: TableMapping = MAPPING

    @abstractmethod
    def put(self, path: str, content: bytes) -> None:
        """Put a file on the store."""

    @abstractmethod
    def know(self, file: WrittenFile) -> None:
        """Tell a fake store what its file holds."""

    @abstractmethod
    def roll_back(self, snapshot_id: int) -> None:
        """Make an earlier snapshot the current one."""

    @abstractmethod
    def drop(self) -> None:
        """Drop the table."""

    @abstractmethod
    def add_foreign(self) -> int:
        """Append a snapshot without evidence."""

    @abstractmethod
    def expire(self, keep: int) -> None:
        """Expire all but the newest snapshots of the current ancestry."""

    def begin(self, *, owner: str = "one", at: datetime = START) -> Claim:
        """Create the target, bind the stream to it, and skip to where the rows begin."""
        target = self.catalog.ensure(self.stream, self.mapping, expected_uuid=None)
        self.ledger.register(self.stream.name)
        claim = self.ledger.claim(self.stream.name, owner, TTL)
        self.ledger.bind(claim, source_uuid=SOURCE, target_uuid=target.uuid)
        if self.ledger.read([self.stream.name])[self.stream.name].watermark < at:
            self.skip(claim, at)
        return self.ledger.claim(self.stream.name, owner, TTL)

    def skip(self, claim: Claim, to: datetime) -> None:
        """Advance the ledger over an empty window."""
        record = self.ledger.read([claim.stream])[claim.stream]
        window = Window(lower=record.watermark, upper=to)
        self.ledger.advance(claim, self.plan(window, rows=0), TRIGGER, [])

    def plan(self, window: Window, *, rows: int = 3) -> Batch:
        """Plan a batch of one unit over a window."""
        record = self.ledger.read([self.stream.name])[self.stream.name]
        assert record.target_uuid is not None
        return Batch(
            id=batch_id(
                source_uuid=SOURCE,
                target_uuid=record.target_uuid,
                kind=BatchKind.WINDOW,
                window=window,
                generation=record.generation,
            ),
            stream=self.stream.name,
            kind=BatchKind.WINDOW,
            window=window,
            generation=record.generation,
            units=(Unit(index=0, window=window, rows=rows),) if rows else (),
        )

    def target(self) -> TargetTable:
        target = self.catalog.inspect(self.stream.target)
        assert target is not None
        return target

    def begin_batch(self, claim: Claim, *, rows: int = 3, span: timedelta = HOUR) -> Step:
        """Begin the batch that follows the ledger's watermark; its files are up to the test."""
        record = self.ledger.read([claim.stream])[claim.stream]
        batch = self.plan(Window(lower=record.watermark, upper=record.watermark + span), rows=rows)
        self.ledger.begin(claim, batch, TRIGGER)
        publication = Publication(
            claim=replace(claim, record=record), stream=self.stream, batch=batch, trigger=TRIGGER, files=[], outbox=[]
        )
        return Step(publication=publication)

    def write(self, claim: Claim, *, rows: int = 3, note: str = "n", span: timedelta = HOUR) -> Step:
        """Write the batch that follows the ledger's watermark, up to the publish."""
        begun = self.begin_batch(claim, rows=rows, span=span).publication
        target = self.target()
        file = self.put_rows(target, begun.batch, rows_of(begun.batch.window, rows, note=note))
        self.ledger.stage(claim, begun.batch.id, f"{target.location}/data/{begun.batch.id}", [file])
        return Step(publication=replace(begun, files=[file]))

    def put_rows(self, target: TargetTable, batch: Batch, rows: pa.Table, *, group: int = 1_000_000) -> WrittenFile:
        """Put rows on the store as the file of the batch's first unit."""
        content = parquet_bytes(rows, target, group=group)
        path = f"{target.location}/data/{batch.id}/{uuid4()}.parquet"
        file = WrittenFile(
            unit=0, path=path, bytes=len(content), fingerprint=Fingerprint(rows=rows.num_rows, digest=rows.num_rows)
        )
        self.put(path, content)
        self.know(file)
        return file

    def replace(self, claim: Claim, former: Step, *, rows: int, removed: Sequence[str]) -> Step:
        """Write other rows, or none, in the place of those of a published batch, up to the publish."""
        window, target = former.publication.batch.window, self.target()
        base = Fingerprint(rows=former.file.fingerprint.rows, digest=former.file.fingerprint.digest)
        batch = Batch(
            id=batch_id(
                source_uuid=SOURCE,
                target_uuid=target.uuid,
                kind=BatchKind.REPLACE,
                window=window,
                generation=1,
                base=base,
                revision=1,
            ),
            stream=self.stream.name,
            kind=BatchKind.REPLACE,
            window=window,
            generation=1,
            units=(Unit(index=0, window=window, rows=rows),) if rows else (),
            base=base,
            revision=1,
            replacement=Replacement(content=Fingerprint(rows=rows, digest=rows), files=tuple(removed)),
        )
        self.ledger.begin(claim, batch, TRIGGER)
        files = [self.put_rows(target, batch, rows_of(window, rows))] if rows else []
        self.ledger.stage(claim, batch.id, f"{target.location}/data/{batch.id}", files)
        record = self.ledger.read([claim.stream])[claim.stream]
        return Step(
            publication=Publication(
                claim=replace(claim, record=record),
                stream=self.stream,
                batch=batch,
                trigger=TRIGGER,
                files=files,
                outbox=[],
            )
        )

    def publish(self, claim: Claim, *, rows: int = 3) -> int:
        """Write and publish the next batch."""
        return self.catalog.publish(self.write(claim, rows=rows).publication)


class MemoryColdTier(ColdTier):
    """The fakes."""

    def __init__(self) -> None:
        self.files: dict[str, WrittenFile] = {}
        memory_ledger = MemoryLedger()
        self.memory = MemoryCatalog(memory_ledger, self.files)
        self.ledger = memory_ledger
        self.catalog = self.memory

    def put(self, path: str, content: bytes) -> None:
        """Nothing: a fake store holds no bytes."""

    def know(self, file: WrittenFile) -> None:
        self.files[file.path] = file

    def roll_back(self, snapshot_id: int) -> None:
        self.memory.roll_back(self.stream.target, snapshot_id)

    def drop(self) -> None:
        self.memory.drop(self.stream.target)

    def add_foreign(self) -> int:
        return self.memory.add_foreign(self.stream.target)

    def expire(self, keep: int) -> None:
        self.memory.expire(self.stream.target, keep)


class IcebergColdTier(ColdTier):
    """The real thing: a database and a prefix of its own on the stack's servers.

    ``other`` is PyIceberg's own catalog on the same tables: another engine.
    """

    catalog: IcebergCatalog
    other: Catalogs

    def __init__(
        self, *, dsn: str, store: StoreSettings, failpoints: str = "", settings: CatalogSettings | None = None
    ) -> None:
        self.dsn = dsn
        self.store = store
        self.settings = settings or CatalogSettings()
        self.database = Database(PostgresSettings(dsn=dsn))
        self.ledger = PostgresLedger(self.database)
        self.catalog = self.another(Failpoints(failpoints))
        self.io = StoreFileIO(store)
        self.other = other_catalog(self.settings, dsn, store)

    def another(self, failpoints: Failpoints | None = None, settings: CatalogSettings | None = None) -> IcebergCatalog:
        """Another process's catalog on the same servers; close it where it is not in the ledger's database."""
        return IcebergCatalog(
            database=self.database, catalog=settings or self.settings, store=self.store, failpoints=failpoints
        )

    def sibling(self, stream: Stream) -> IcebergColdTier:
        """The same servers and the same catalog, for another stream."""
        other = copy(self)
        other.stream = stream
        return other

    @property
    def foreign(self) -> str:
        """The folder of another engine's files; a table bucket takes files of data below data only."""
        return "data/foreign" if self.settings.type == "rest" else "foreign"

    def close(self) -> None:
        self.other.close()
        self.catalog.close()
        self.database.close()

    def table(self) -> Table:
        """The table as another engine sees it."""
        return self.other.load_table((self.stream.target.database, self.stream.target.table))

    def location(self) -> str:
        """The metadata file that the catalog points to."""
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute("SELECT metadata_location FROM iceberg_tables").fetchone()
        assert row is not None
        return str(row[0])

    def keys(self, under: str) -> list[str]:
        """The files of the table under a folder."""
        location = f"{self.target().location}/{under}"
        _, bucket, path = self.io.parse_location(location)
        files = self.io.fs_by_scheme("s3", bucket).get_file_info(pa.fs.FileSelector(path, recursive=True))
        return sorted(f"s3://{file.path}" for file in files if file.type == pa.fs.FileType.File)

    def put(self, path: str, content: bytes) -> None:
        with self.io.new_output(path).create(overwrite=True) as stream:
            stream.write(content)

    def know(self, file: WrittenFile) -> None:
        """Nothing: a real store knows by itself."""

    def roll_back(self, snapshot_id: int) -> None:
        self.table().manage_snapshots().rollback_to_snapshot(snapshot_id).commit()

    def drop(self) -> None:
        self.other.drop_table((self.stream.target.database, self.stream.target.table))

    def add_foreign(self) -> int:
        table = self.table()
        lower = datetime(1990, 1, 1, tzinfo=UTC)
        rows = rows_of(Window(lower=lower, upper=lower + HOUR), 1)
        path = f"{table.location()}/{self.foreign}/{uuid4()}.parquet"
        self.put(path, parquet_bytes(rows, self.target()))
        table.add_files([path])
        snapshot = table.current_snapshot()
        assert snapshot is not None
        return snapshot.snapshot_id

    def append_nothing(self) -> int:
        """Append a snapshot of another engine that holds no row."""
        table = self.table()
        table.append(schema_to_pyarrow(table.schema()).empty_table())
        snapshot = table.current_snapshot()
        assert snapshot is not None
        return snapshot.snapshot_id

    def expire(self, keep: int) -> None:
        table = self.table()
        ancestors = []
        snapshot = table.current_snapshot()
        while snapshot is not None:
            ancestors.append(snapshot.snapshot_id)
            parent = snapshot.parent_snapshot_id
            snapshot = None if parent is None else table.snapshot_by_id(parent)
        gone = [each.snapshot_id for each in table.snapshots() if each.snapshot_id not in ancestors[:keep]]
        table.maintenance.expire_snapshots().by_ids(gone).commit()

    def compact(self, *, carry: bool) -> int:
        """Commit a ``replace`` snapshot over the same files, as a compaction does."""
        table = self.table()
        current = table.current_snapshot()
        assert current is not None
        assert current.summary is not None
        old = current.summary.additional_properties
        kept = {k: v for k, v in old.items() if k.startswith("total-") or (carry and k.startswith("icehaul."))}
        snapshot = Snapshot(
            snapshot_id=table.metadata.new_snapshot_id(),
            parent_snapshot_id=current.snapshot_id,
            sequence_number=table.metadata.next_sequence_number(),
            manifest_list=current.manifest_list,
            summary=Summary(Operation.REPLACE, **kept),
            schema_id=current.schema_id,
        )
        self.other.commit_table(
            table,
            (),
            (
                AddSnapshotUpdate(snapshot=snapshot),
                SetSnapshotRefUpdate(  # type: ignore[call-arg]  # its optional fields have defaults
                    ref_name="main", type=SnapshotRefType.BRANCH, snapshot_id=snapshot.snapshot_id
                ),
            ),
        )
        return snapshot.snapshot_id

    def merge_files(self) -> int:
        """Put the rows of all files of a table without partitions into one, as a compaction does; return how many."""
        table = self.table()
        old = [task.file for task in table.scan().plan_files()]
        rows = table.scan().to_arrow()
        with table.transaction() as transaction:
            producer = _Rewrite(operation=Operation.OVERWRITE, transaction=transaction, io=table.io)
            new = list(_dataframe_to_data_files(table_metadata=table.metadata, df=rows, io=table.io))
            for file in old:
                producer.delete_data_file(file)
            for file in new:
                producer.append_data_file(file)
            producer.commit()
        return len(new)

    def execute(self, statement: str, *values: object) -> None:
        """Edit the database by hand."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode(), values)


def other_catalog(settings: CatalogSettings, dsn: str, store: StoreSettings) -> Catalogs:
    """PyIceberg's own catalog on the same tables, wherever they are."""
    if settings.type == "postgres":
        return pyiceberg_catalog(dsn if settings.dsn is None else settings.dsn.get_secret_value(), store)
    credential = settings.credential
    assert credential is not None
    return RestCatalog(
        settings.name,
        uri=str(settings.uri),
        warehouse=str(settings.warehouse),
        credential=credential.get_secret_value(),
        **{"oauth2-server-uri": f"{settings.uri}/v1/oauth/tokens", **_access(store)},
    )


def _access(store: StoreSettings) -> dict[str, str]:
    secret = store.secret_key
    return {
        **StoreFileIO(store).properties,
        "s3.access-key-id": store.access_key or "",
        "s3.secret-access-key": "" if secret is None else secret.get_secret_value(),
    }


def pyiceberg_catalog(dsn: str, store: StoreSettings) -> SqlCatalog:
    """PyIceberg's own catalog on the same tables."""
    return SqlCatalog(
        "icehaul",
        uri=dsn.replace("postgresql://", "postgresql+psycopg://"),
        warehouse=store.warehouse,
        init_catalog_tables="false",
        **_access(store),
    )


@contextmanager
def other_engine(dsn: str, store: StoreSettings) -> Iterator[SqlCatalog]:
    """PyIceberg's own catalog for the length of a block."""
    with closing(pyiceberg_catalog(dsn, store)) as catalog:
        yield catalog


def store_of(endpoints: Endpoints, prefix: str) -> StoreSettings:
    end = endpoints.store
    return StoreSettings(
        endpoint=end.endpoint,
        region=end.region,
        bucket=end.bucket,
        prefix=prefix,
        access_key=end.access_key,
        secret_key=end.secret_key,
    )


def empty_database(endpoints: Endpoints, name: str) -> str:
    """Create a database and return its DSN."""
    with psycopg.connect(endpoints.postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return endpoints.postgres.model_copy(update={"database": name}).dsn


def new_database(endpoints: Endpoints, name: str) -> str:
    """Create a database with the ledger's tables and return its DSN."""
    dsn = empty_database(endpoints, name)
    with Database(PostgresSettings(dsn=dsn)) as database:
        migrate(database)
    return dsn


@contextmanager
def iceberg_cold_tier(endpoints: Endpoints) -> Iterator[IcebergColdTier]:
    """A cold tier of its own on running servers."""
    name = f"cold_{uuid4().hex[:12]}"
    tier = IcebergColdTier(dsn=new_database(endpoints, name), store=store_of(endpoints, name))
    try:
        yield tier
    finally:
        tier.close()
        with psycopg.connect(endpoints.postgres.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
