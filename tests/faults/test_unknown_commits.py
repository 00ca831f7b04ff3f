"""A consumer whose ledger loses the reply to a COMMIT, of every kind of transaction, before or after it is applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources

import pytest

from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.adapters.kafka.relay import OutboxRelay
from consumer.adapters.postgres.emissions import PostgresEmitterStore
from consumer.adapters.postgres.ledger import PostgresLedger
from consumer.adapters.postgres.statements import statements
from consumer.bootstrap import Application
from consumer.domain.errors import EngineFailedError, IcehaulError, Reaction
from consumer.domain.event import Event, EventType
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from consumer.emitter.emitter import Emitter
from consumer.ports import StreamState
from spark.unit_task import UnitTask
from tests.support.cases import few
from tests.support.consuming import committed_offsets, consuming
from tests.support.local_platform import LocalPlatform, deliver, judge, offload, published, session_of
from tests.support.platform import day
from tests.support.postgres_proxy import CommitFault, PostgresProxy, runs
from tests.support.waiting import wait_until

ROWS = 30
FIRST, SECOND, THIRD = (day(f"2024-01-0{number}") for number in (2, 3, 4))


@pytest.fixture
def platform(local: LocalPlatform) -> LocalPlatform:
    local.add_stream()
    local.insert(ROWS)
    return local


@pytest.fixture
def stream(platform: LocalPlatform) -> str:
    return f"{platform.name}_trades"


def again(act: Callable[[], object]) -> None:
    """Do what an operator or a loop does after an error that passes: the same again."""
    for _ in range(3):
        try:
            act()
        except IcehaulError as error:
            if error.reaction not in {Reaction.RETRY, Reaction.READ_BACK}:
                raise
        else:
            return
    raise AssertionError("it did not pass")


@dataclass
class Sink:
    """Takes events, as the broker would."""

    events: list[Event] = field(default_factory=list)

    def send(self, events: Sequence[Event]) -> None:
        self.events += events


# ---------------------------------------------------------------------------------- what is done meanwhile


def offloads(platform: LocalPlatform, consumer: Application, stream: str, proxy: PostgresProxy) -> None:
    """A day with rows, and two days without."""
    for cutoff in (FIRST, SECOND, THIRD):
        offload(consumer, stream, cutoff)


def fails_once(platform: LocalPlatform, consumer: Application, stream: str, proxy: PostgresProxy) -> None:
    """An attempt that fails, and one that succeeds."""

    def fail(task: UnitTask) -> UnitTask:
        if session_of(consumer).jobs == 1:
            raise EngineFailedError("made up", remedy="none")
        return task

    session_of(consumer).before = fail
    offload(consumer, stream, FIRST)


def outlives_its_lease(platform: LocalPlatform, consumer: Application, stream: str, proxy: PostgresProxy) -> None:
    """A batch that takes so long that the lease is renewed."""

    def wait(task: UnitTask) -> UnitTask:
        wait_until(proxy.struck.is_set, seconds=90, what="the renewal")
        return task

    session_of(consumer).before = wait
    offload(consumer, stream, FIRST)


def is_halted_and_resumed(platform: LocalPlatform, consumer: Application, stream: str, proxy: PostgresProxy) -> None:
    """A source that is away for a while; what was parked comes back by the relay."""
    table, sink = f"{platform.name}.trades", Sink()
    platform.client.command(f"RENAME TABLE {table} TO {table}_away")
    offload(consumer, stream, FIRST)
    assert consumer.ledger.read([stream])[stream].state is StreamState.HALTED
    assert len(consumer.ledger.parked(stream)) == 1
    platform.client.command(f"RENAME TABLE {table}_away TO {table}")
    again(lambda: consumer.ledger.resume(stream))
    relay = OutboxRelay(PostgresLedger(consumer.database, relay_claim=timedelta(milliseconds=50)), sink)

    def relayed() -> bool:
        again(relay.run_once)
        return any(event.stream == stream for event in sink.events)

    wait_until(relayed, seconds=90, what="the relay of the parked event")
    again(relay.run_once)
    assert consumer.ledger.parked(stream) == []
    # The outbox is that of other tests' streams, too: what they left unacknowledged may come along.
    own = [event for event in sink.events if event.stream == stream]
    assert len({event.id for event in own}) == 1
    for event in own:
        deliver(consumer, event)


def emits(platform: LocalPlatform, consumer: Application, stream: str, proxy: PostgresProxy) -> None:
    """An emitter that tells of a day that has closed, and of a tick."""
    inventory, sink = ClickHouseInventory(consumer.configuration.clickhouse), Sink()
    store = PostgresEmitterStore(consumer.database, name=platform.name)
    settings = consumer.configuration.emitter.model_copy(update={"grace": timedelta(0)})
    emitter = Emitter(
        streams=tuple(consumer.streams.values()),
        source=inventory,
        sink=sink,
        store=store,
        settings=settings,
        owner="emitter",
    )
    again(emitter.run_once)
    again(emitter.run_once)
    inventory.close()
    assert store.last_tick() is not None
    assert [emission.partition_id for emission in store.emissions([stream])] == ["20240101"]
    assert {event.type for event in sink.events} == {EventType.TICK, EventType.PARTITION_CLOSED}
    assert len({event.id for event in sink.events}) == 2
    for event in sink.events:
        deliver(consumer, event)


@dataclass(frozen=True)
class Kind:
    """A kind of transaction: the statement that tells it from others, and what makes the consumer run it."""

    statement: bytes
    story: Callable[[LocalPlatform, Application, str, PostgresProxy], None]


def catalog_statement(name: str) -> bytes:
    return (resources.files("consumer.adapters.iceberg") / "sql" / f"{name}.sql").read_bytes()


LEDGER, PUBLISH, EMITTER = statements("ledger"), statements("publish"), statements("emitter")
KINDS = {
    "registers": Kind(LEDGER["register"], offloads),
    "claims": Kind(LEDGER["claim"], offloads),
    "creates the target": Kind(catalog_statement("create_table"), offloads),
    "looks the target up": Kind(catalog_statement("location"), offloads),
    "binds": Kind(LEDGER["bind"], offloads),
    "begins": Kind(LEDGER["begin"], offloads),
    "opens an attempt": Kind(LEDGER["stage_prefix"], offloads),
    "stages files": Kind(LEDGER["stage_files"], offloads),
    "publishes": Kind(PUBLISH["publish_batch"], offloads),
    "advances": Kind(LEDGER["add_empty"], offloads),
    "advances further": Kind(LEDGER["extend_empty"], offloads),
    "releases": Kind(LEDGER["release"], offloads),
    "renews": Kind(LEDGER["renew"], outlives_its_lease),
    "records a failure": Kind(LEDGER["fail"], fails_once),
    "halts": Kind(LEDGER["halt_at_epoch"], is_halted_and_resumed),
    "parks": Kind(LEDGER["park"], is_halted_and_resumed),
    "resumes": Kind(LEDGER["unpark"], is_halted_and_resumed),
    "takes from the outbox": Kind(LEDGER["outbox"], is_halted_and_resumed),
    "removes from the outbox": Kind(LEDGER["relayed"], is_halted_and_resumed),
    "claims the emitter's lease": Kind(EMITTER["acquire"], emits),
    "renews the emitter's lease": Kind(EMITTER["renew"], emits),
    "releases the emitter's lease": Kind(EMITTER["release"], emits),
    "records a tick": Kind(EMITTER["tick"], emits),
    "records a close": Kind(EMITTER["record"], emits),
}


# What has not landed is found out in one way for all: the whole of it is played by `make thorough`.
LOST = ("creates the target", "publishes", "advances")

# The reply is lost after and before it is applied; a refusal is not lost, and one of a kind is enough.
CASES = [
    *((kind, CommitFault.APPLIED) for kind in KINDS),
    *(
        pytest.param(kind, CommitFault.LOST, marks=() if kind in LOST else pytest.mark.thorough, id=f"{kind}-lost")
        for kind in KINDS
    ),
    *((kind, CommitFault.REFUSED) for kind in ("claims", "publishes", "advances", "renews", "halts", "records a tick")),
]


@pytest.mark.parametrize(("kind", "fault"), CASES)
def test_a_consumer_that(
    platform: LocalPlatform, stream: str, stack: EmbeddedStack, kind: str, fault: CommitFault
) -> None:
    platform.sections["consumer"] = {"lease_seconds": 1 if kind == "renews" else 30}
    with PostgresProxy(stack.endpoints.postgres.port) as proxy, platform.consumer(port=proxy.port) as consumer:
        proxy.strike(fault, after=runs(KINDS[kind].statement))
        KINDS[kind].story(platform, consumer, stream, proxy)
        assert proxy.struck.is_set(), "the transaction was never run"
        judge(consumer, stream, rows=ROWS)
        (batch,) = published(consumer, stream)
        # What is lost in the middle of an attempt may be written again; what is unknown of a publish is read back.
        assert session_of(consumer).jobs <= (1 if kind == "publishes" and fault is not CommitFault.REFUSED else 2)
        assert batch.attempts <= 2


@pytest.mark.parametrize(
    "between",
    few(["an append", "a compaction", "a compaction that carries the evidence"], {"an append", "a compaction"}),
)
@pytest.mark.parametrize("fault", few([CommitFault.APPLIED, CommitFault.LOST], {CommitFault.APPLIED}))
def test_commits_of_others_before_the_retry_survive(
    platform: LocalPlatform, stream: str, stack: EmbeddedStack, fault: CommitFault, between: str
) -> None:
    with PostgresProxy(stack.endpoints.postgres.port) as proxy, platform.consumer(port=proxy.port) as consumer:
        offload(consumer, stream, FIRST)
        platform.insert(ROWS, day="2024-01-02", first=ROWS)
        tier = platform.cold_tier(stream)
        commits: dict[str, Callable[[], int]] = {
            # Without rows: those of others would be surplus ones.
            "an append": tier.append_nothing,
            "a compaction": lambda: tier.compact(carry=False),
            "a compaction that carries the evidence": lambda: tier.compact(carry=True),
        }
        foreign: list[int] = []
        proxy.strike(
            fault, after=runs(KINDS["publishes"].statement), meanwhile=lambda: foreign.append(commits[between]())
        )
        assert offload(consumer, stream, SECOND) == []
        assert proxy.struck.is_set()
        judge(consumer, stream, rows=2 * ROWS)
        snapshots = [snapshot.snapshot_id for snapshot in tier.table().snapshots()]
        ours = [batch.snapshot_id for batch in published(consumer, stream)]
        order = [ours[0], ours[1], foreign[0]] if fault is CommitFault.APPLIED else [ours[0], foreign[0], ours[1]]
        assert snapshots == order
        assert session_of(consumer).jobs == 2
        tier.close()


@pytest.mark.parametrize("fault", [CommitFault.APPLIED, CommitFault.LOST, CommitFault.LATE])
def test_an_offset_is_committed_once_the_unknown_publish_is_known(
    platform: LocalPlatform, stream: str, stack: EmbeddedStack, fault: CommitFault
) -> None:
    platform.sections["consumer"] = {"lease_seconds": 4}
    with PostgresProxy(stack.endpoints.postgres.port) as proxy, platform.consumer(port=proxy.port) as consumer:
        consumer.topics.ensure()
        kafka = consumer.configuration.kafka
        at_the_fault: list[object] = []
        proxy.strike(
            fault,
            after=runs(KINDS["publishes"].statement),
            meanwhile=lambda: at_the_fault.append(committed_offsets(kafka)),
        )
        with consuming(consumer):
            consumer.event_sink.send([tick(stream=stream, boundary=FIRST)])
            assert proxy.struck.wait(90)
            if fault is CommitFault.LATE:
                at_the_fault.append(committed_offsets(kafka))
                proxy.deliver()
            wait_until(lambda: list(committed_offsets(kafka).values()) == [1], seconds=90, what="the offset")
        assert at_the_fault == [{}]
        judge(consumer, stream, rows=ROWS)
        assert session_of(consumer).jobs == 1
