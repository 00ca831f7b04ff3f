"""The whole job with exactly the rights that ``ops/security`` gives, over TLS and with passwords everywhere."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from pyarrow.fs import FileSelector

from consumer.adapters.clickhouse.source import ClickHouseSource
from consumer.adapters.kafka.producer import KafkaEventSink
from consumer.adapters.kafka.topics import Topics
from consumer.adapters.spark.engine import SparkEngine
from consumer.adapters.spark.export_probe import try_export
from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind
from consumer.domain.errors import AccessDeniedError, IcehaulError
from consumer.domain.event_factory import tick
from consumer.domain.stream import TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.window import BEGINNING
from consumer.entrypoints.readiness import Readiness
from consumer.ports import StreamState
from consumer.settings.connections import SparkSettings
from consumer.settings.load import load
from tests.integration.cli.conftest import Ended, Run
from tests.support.cases import few
from tests.support.certificates import needs_openssl
from tests.support.platform import day
from tests.support.refusals import allowed, doctors_remedies, refusal
from tests.support.secured_clickhouse import grants_of
from tests.support.secured_job import (
    CONSUMER,
    DROPPING,
    EMITTER,
    LOOKING,
    MAINTENANCE,
    OPERATOR,
    OWNER,
    RESTORING,
    VIEWING,
    WRONG,
    SecuredJob,
    Users,
    consume_until_refused,
)
from tests.support.secured_kafka import SCRIPT, acls_of
from tests.support.secured_stack import EXPORTER, NOBODY, OPS, READER, READS_FILES, SecuredStack, secured_stack, without
from tests.support.secured_store import BUCKET

PAGES = OPS.parents[1] / "docs" / "how-to"
RIGHTS, ENCRYPTION = "least-privilege.md", "encrypt-and-authenticate.md"
WRITERS = "choose-a-writer.md"
_DENIED = "HTTP response code: 403|Access Denied"

pytestmark = [needs_openssl, pytest.mark.timeout(900)]


def lines(page: str, kind: str) -> list[str]:
    """The lines of a page's blocks of one kind."""
    blocks = re.findall(rf"```{kind}\n(.*?)```", (PAGES / page).read_text("utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def check_shown(page: str, said: list[str]) -> None:
    """Check that what a page shows of the doctor's words is what the doctor says."""
    assert [line for line in lines(page, "text") if line not in said] == [], "\n".join(said)


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredStack]:
    with secured_stack() as started:
        yield started


@pytest.fixture
def job(secured: SecuredStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecuredJob:
    return SecuredJob(secured, unique_name, tmp_path, monkeypatch)


@pytest.fixture
def ready(job: SecuredJob, icehaul: Run) -> SecuredJob:
    """A job whose ledger is migrated, with rights and topics."""
    job.become(OWNER)
    good(icehaul("migrate"))
    job.stack.postgres.grant()
    job.permit()
    job.become(OPERATOR)
    good(icehaul("topics"))
    return job


def good(ended: Ended) -> Ended:
    assert ended.code == 0, ended.out + ended.err
    return ended


@pytest.fixture
def engine(ready: SecuredJob, spark_engine: SparkEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[SparkEngine]:
    """The engine of every process of the job: its tasks run in Spark's Python workers."""
    with ready.engine(spark_engine) as engine:
        monkeypatch.setattr(Application, "engine", engine)
        yield engine


@pytest.mark.spark
@pytest.mark.usefixtures("engine")
def test_the_whole_job_runs_with_exactly_these_rights(ready: SecuredJob, icehaul: Run) -> None:
    job = ready
    for number in (1, 2, 3):
        job.insert(100, day=number, first=number * 1000)
    with job.consuming() as application:
        job.become(EMITTER)
        good(icehaul("emit", "--tick", "2024-01-04"))
        job.wait_for_batches(application, [BatchKind.WINDOW])
        job.insert(5, day=2, first=9000)
        good(icehaul("emit", "--tick", "2024-01-04T00:00:01"))
        job.wait_for_batches(application, [BatchKind.WINDOW, BatchKind.SUPPLEMENT])
        assert application.relay.run_once() == 0
        assert set(Readiness(application.probes()).probe().values()) == {"ok"}
    job.mutate("UPDATE price = price + 1 WHERE seq < 1010")
    job.become(CONSUMER)
    replaced = good(icehaul("replace", job.name, "--from", "2024-01-01", "--to", "2024-01-04", "--yes"))
    assert "replaced 1 window" in replaced.out
    job.become(EMITTER)
    assert good(icehaul("emit", "--once", "-o", "json")).data["failed"] == {}
    job.become(LOOKING)
    for command in (("status", job.name), ("plan", job.name), ("verify", job.name), ("verify", "--all")):
        good(icehaul(*command))
    job.become(VIEWING)
    good(icehaul("view", job.name))
    job.become(DROPPING)
    good(icehaul("drop-hot", job.name, "--partition", "20240101", "--yes"))
    assert job.hot_rows() == 205
    job.become(RESTORING)
    good(icehaul("restore", job.name, "--window", "2024-01-01/2024-01-02", "--into", job.table, "--yes"))
    assert job.hot_rows() == 305
    job.become(LOOKING)
    good(icehaul("verify", job.name))
    job.become(OPERATOR)
    examined = good(icehaul("doctor", "-o", "json")).data
    assert examined["healthy"]
    (commands,) = (one for one in examined["findings"] if one["check"] == "commands")
    assert "refused with this user, which lacks: a user without readonly, INSERT ON `market`.*" in commands["message"]
    job.become(MAINTENANCE)
    good(icehaul("stream", "remove", job.name, "--purge", "--yes"))


def test_the_doctor_names_the_missing_grant_of_each_server(ready: SecuredJob, icehaul: Run) -> None:
    job = ready
    job.insert(1)
    job.become(Users(clickhouse=NOBODY, kafka="icehaul-producer", postgres="icehaul_reader", store="reader"))
    ended = icehaul("doctor", "-o", "json")
    check_shown(RIGHTS, job.in_examples(ended.data))
    found = doctors_remedies(ended.data)
    assert "GRANT SELECT" in found["source"]
    assert f"TO {NOBODY}" in found["source"]
    assert "GRANT INSERT, UPDATE ON offload_batches TO icehaul_reader" in found["postgres"]
    assert "s3:PutObject on arn:aws:s3:::icehaul/warehouse/*" in found["object store"]
    acl = f"--allow-principal User:icehaul-producer --operation Describe --topic {job.topic}.dead"
    assert acl in found["kafka topics"]


@pytest.mark.parametrize("grant", [one for one in grants_of("reader.sql") if "system." not in one])
def test_without_any_of_its_grants_the_reader_is_refused_and_told_which(job: SecuredJob, grant: str) -> None:
    # The engine asks for no grant on system tables: that those are covered is checked in tests/unit/clickhouse.
    user = without(grant)
    job.become(Users(clickhouse=user, postgres="icehaul_reader"))
    settings = load(None)
    with closing(ClickHouseSource(settings.clickhouse, settings.store)) as source:

        def read() -> None:
            described = source.describe(TableName.parse(job.table))
            mapping = map_table(described.columns, timestamp_column="ts")
            source.fingerprint_files(mapping, [f"{settings.store.warehouse}/a.parquet"])

        refused = refusal(read)
    what = grant.removeprefix("GRANT ").partition(" ON ")[0].replace("S3", "READ ON S3")
    assert re.search(rf"GRANT {what}\b.* TO {user}$", refused.remedy), refused


def test_a_stream_whose_grant_was_taken_away_is_halted_with_the_statement_that_gives_it(ready: SecuredJob) -> None:
    ready.insert(1)
    ready.become(replace(CONSUMER, clickhouse=NOBODY))
    with Application(load(None)) as application:
        application.offload.handle(tick(stream=ready.name, boundary=day("2024-01-02")), threading.Event())
        record = application.ledger.read([ready.name])[ready.name]
    assert record.state is StreamState.HALTED
    assert f"GRANT SELECT ON {ready.table} TO {NOBODY}" in (record.halt_remedy or "")


def test_clickhouse_understands_every_file_and_readers_change_nothing(job: SecuredJob) -> None:
    for file in sorted((OPS / "clickhouse").glob("*.sql")):
        for statement in re.sub(r"--.*", "", file.read_text("utf-8")).split(";"):
            if statement.strip():
                job.stack.admin.query("SELECT formatQuery({statement:String})", parameters={"statement": statement})
    job.insert(1)
    reader = job.stack.client_of(READER)
    assert reader.query(f"SELECT count() FROM {job.table}").result_rows == [(1,)]
    for change in (
        f"INSERT INTO {job.table} (seq) VALUES (1)",
        f"ALTER TABLE {job.table} DROP PARTITION ID '20240101'",
        f"DROP TABLE {job.table}",
        f"CREATE TABLE {job.table}_b AS {job.table}",
    ):
        with pytest.raises(DatabaseError, match=r"Cannot execute query in readonly mode|Not enough privileges"):
            reader.command(change)
    reader.close()


def test_exports_go_where_the_writers_keys_allow_and_newer_servers_tell_reading_from_writing(job: SecuredJob) -> None:
    job.insert(10)
    exporter, reader = job.stack.client_of(EXPORTER), job.stack.client_of(READS_FILES)
    exports, warehouse = (
        job.stack.s3("clickhouse-writer", f"{one}/{job.name}.parquet") for one in ("exports", "warehouse")
    )
    exporter.command(f"INSERT INTO FUNCTION {exports} SELECT ts, seq FROM {job.table}")
    with pytest.raises(DatabaseError, match=_DENIED):
        exporter.command(f"INSERT INTO FUNCTION {warehouse} SELECT ts, seq FROM {job.table}")
    with pytest.raises(DatabaseError, match=r"Not enough privileges.*WRITE ON S3"):
        reader.command(f"INSERT INTO FUNCTION {exports} SELECT ts, seq FROM {job.table}")
    with pytest.raises(DatabaseError, match=_DENIED):
        reader.query(f"SELECT count() FROM {job.stack.s3('clickhouse-reader', f'exports/{job.name}.parquet')}")
    for client in (exporter, reader):
        client.close()


@pytest.mark.thorough
def test_clickhouse_exports_with_the_rights_of_its_files_and_with_fewer_it_is_told_which(secured: SecuredStack) -> None:
    page = (PAGES / WRITERS).read_text("utf-8")
    assert {"exporter.sql", "clickhouse-exporter.json"} <= {
        Path(name).name for name in re.findall(r"`(ops/[^`]+)`", page)
    }
    try_export(*secured.exporting(EXPORTER, "clickhouse-exporter"), SparkSettings())
    for user in (EXPORTER, READER):  # readonly = 2 does not keep a table function from being written: the keys do
        with pytest.raises(IcehaulError, match=_DENIED):
            try_export(*secured.exporting(user, "clickhouse-reader"), SparkSettings())
    with pytest.raises(AccessDeniedError) as refused:
        try_export(*secured.exporting(READS_FILES, "clickhouse-exporter"), SparkSettings())
    assert "GRANT WRITE ON S3" in refused.value.remedy


def test_with_the_keys_for_exports_clickhouse_writes_no_data_file(secured: SecuredStack, unique_name: str) -> None:
    client = secured.client_of(EXPORTER)
    target = secured.s3("clickhouse-exporter", f"warehouse/{unique_name}.parquet")
    with pytest.raises(DatabaseError, match=_DENIED):
        client.command(f"INSERT INTO FUNCTION {target} SELECT 1 AS one")
    client.close()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("user", "lost", "doing"),
    [
        ("icehaul-producer", "Write", "send"),
        ("icehaul-consumer", "Write", "send"),
        ("icehaul-consumer", "Read", "join"),
        ("icehaul-operator", "Create", "create"),
        ("icehaul-operator", "DescribeConfigs", "compare"),
    ],
)
def test_without_any_of_its_operations_a_kafka_user_is_refused_and_told_which(
    job: SecuredJob, user: str, lost: str, doing: str
) -> None:
    job.permit()
    job.become(OPERATOR)
    if doing != "create":
        Topics(load(None).kafka).ensure()
    job.become(replace(OPERATOR, kafka=user))
    job.stack.kafka.revoke(user, lost, job.topic)
    kafka = load(None).kafka
    act: Callable[[], object] = {
        "send": lambda: KafkaEventSink(kafka).send([tick(stream=job.name, boundary=BEGINNING)]),
        "join": lambda: consume_until_refused(kafka),
        "create": lambda: Topics(kafka).ensure(),
        "compare": lambda: Topics(kafka).verify(),
    }[doing]
    assert f"--allow-principal User:{user} --operation {lost} --topic {job.topic}" in refusal(act).remedy


def test_a_consumer_without_its_group_is_told_so(ready: SecuredJob) -> None:
    ready.become(CONSUMER)
    kafka = load(None).kafka.model_copy(update={"group": "another"})
    remedy = refusal(lambda: consume_until_refused(kafka)).remedy
    assert "--allow-principal User:icehaul-consumer --operation Read --group another" in remedy


def test_a_certificate_may_stand_in_for_a_password(ready: SecuredJob) -> None:
    ready.become(CONSUMER)
    own = ready.stack.authority.issue(f"{ready.name}", subject="icehaul-consumer")
    kafka = load(None).kafka.model_copy(
        update={
            "bootstrap_servers": f"127.0.0.1:{ready.stack.kafka.certificates_port}",
            "options": {
                "security.protocol": "SSL",
                "ssl.ca.location": str(ready.stack.authority.certificate),
                "ssl.certificate.location": str(own.certificate),
                "ssl.key.location": str(own.key),
            },
            "secret_options": {},
        }
    )
    Topics(kafka).check_present()
    assert "TOPIC_AUTHORIZATION_FAILED" in refusal(lambda: Topics(kafka).verify()).message


@pytest.mark.parametrize(
    ("identity", "put", "listed", "deleted"),
    [("consumer", True, True, True), ("reader", False, True, False), ("clickhouse-reader", False, False, False)],
)
def test_the_stores_policies_allow_what_each_needs_and_no_more(
    secured: SecuredStack, unique_name: str, identity: str, put: bool, listed: bool, deleted: bool
) -> None:
    folder = f"{BUCKET}/warehouse/{unique_name}"
    with secured.store.client().open_output_stream(f"{folder}/there") as out:
        out.write(b"1")
    files = secured.store.as_identity(identity)

    def write(path: str) -> None:
        with files.open_output_stream(path) as out:
            out.write(b"1")

    assert allowed(lambda: files.open_input_file(f"{folder}/there").read())
    assert allowed(lambda: write(f"{folder}/{identity}")) is put
    assert allowed(lambda: files.get_file_info(FileSelector(folder))) is listed
    assert allowed(lambda: files.delete_file(f"{folder}/there")) is deleted
    assert not allowed(lambda: write(f"{BUCKET}/elsewhere/{identity}"))
    assert not allowed(lambda: files.get_file_info(FileSelector(f"{BUCKET}/elsewhere", allow_not_found=True)))


@pytest.mark.thorough
def test_committers_make_no_table_and_delete_no_record(ready: SecuredJob, icehaul: Run) -> None:
    ready.become(OPERATOR)
    migrating = icehaul("migrate")
    assert migrating.code == 4
    migrating.explained("permission denied for schema public", "icehaul_owner")
    removing = icehaul("stream", "remove", ready.name, "--purge", "--yes")
    assert removing.code in {2, 4}
    ready.become(replace(LOOKING, kafka="icehaul-operator"))
    resuming = icehaul("resume", ready.name)
    assert resuming.code == 4
    # What can not be recorded is not begun.
    resuming.explained("permission denied for table offload_actions", "GRANT SELECT, INSERT ON offload_actions")


_FIELDS = {
    "authority": ("clickhouse.ca_file", "ssl.ca.location in kafka.options", "store.ca_file", "sslrootcert in"),
    "name": ("clickhouse.host", "kafka.bootstrap_servers", "store.endpoint", "host in postgres.dsn"),
    "password": ("clickhouse.password", "sasl.password", "store.secret_key", "password in postgres.dsn"),
    "plain": ("clickhouse.secure", "security.protocol", "https://", "sslmode"),
}


@pytest.mark.parametrize("fault", few(_FIELDS, {"authority", "password"}))
def test_servers_that_are_not_the_right_ones_are_refused_with_the_field_named(
    job: SecuredJob, icehaul: Run, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault == "plain":
        # What is spoken in the clear to a port with TLS is never answered: the client waits for as long as it is told.
        monkeypatch.setattr("consumer.bootstrap.servers.Topics", partial(Topics, timeout_s=3.0))
    job.break_security(fault)
    ended = icehaul("doctor", "-o", "json")
    assert ended.code == 1
    found = doctors_remedies(ended.data)
    checks = ("clickhouse", "kafka topics", "object store", "postgres")
    assert found.keys() == set(checks)
    for check, field in zip(checks, _FIELDS[fault], strict=True):
        assert field in found[check], found[check]
    assert WRONG not in ended.out + ended.err
    if fault == "authority":
        check_shown(ENCRYPTION, job.in_examples(ended.data))


@pytest.mark.thorough
def test_kafkas_own_tool_gives_the_rights_of_the_script(
    secured: SecuredStack, unique_name: str, tmp_path: Path
) -> None:
    names = {"TOPIC": f"{unique_name}.events", "DEAD": f"{unique_name}.events.dead", "GROUP": unique_name}
    wanted = set(acls_of(SCRIPT.read_text("utf-8"), names))
    given = secured.kafka.run_script(names, tmp_path)
    assert {str(one) for one in given} == {str(one) for one in wanted}


def test_the_pages_work_as_written(ready: SecuredJob, icehaul: Run) -> None:
    names = set(re.findall(r"[a-z-]+\.(?:sql|json|sh)", (PAGES / RIGHTS).read_text("utf-8")))
    assert names - {"kafka-acls.sh"} == {file.name for file in OPS.rglob("*.*")}
    users = {"migrate": OWNER, "topics": OPERATOR, "doctor": OPERATOR}
    shown = [line.split()[1] for line in lines(RIGHTS, "bash") if line.startswith("icehaul ")]
    assert shown == ["migrate", "topics", "doctor"]
    assert [line for line in lines(ENCRYPTION, "bash") if line.startswith("icehaul")] == ["icehaul doctor"]
    ready.insert(1)
    for command in shown:
        ready.become(users[command])
        ended = good(icehaul(command, "-o", "json"))
    (told,) = (one for one in ended.data["findings"] if one["check"] == "encryption")
    assert told["message"].count("with certificate and host name checked") == 4
