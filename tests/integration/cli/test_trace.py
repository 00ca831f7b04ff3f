"""`icehaul trace`: from what stands in a table back to the event, or a clear word on why that is not possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from consumer.embedded.stack import EmbeddedStack
from consumer.ports import Trigger
from tests.integration.cli.conftest import Run
from tests.support.cold_tier import TRIGGER, IcebergColdTier, Step, iceberg_cold_tier

NOBODYS = "00000000-0000-4000-8000-000000000000"
UNSAMPLED = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@dataclass(frozen=True, kw_only=True)
class World:
    """A table with one snapshot of each sort."""

    tier: IcebergColdTier
    config: Path
    sampled: Step
    snapshots: dict[str, int]


@pytest.fixture(scope="module")
def world(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with iceberg_cold_tier(stack.endpoints) as tier:
        claim = tier.begin()
        steps: dict[str, Step] = {}
        snapshots: dict[str, int] = {}
        for name, trigger in {
            "sampled": TRIGGER,
            "unsampled": replace(TRIGGER, event_id="tick-2", trace_id=UNSAMPLED.split("-")[1], traceparent=UNSAMPLED),
            "untraced": Trigger(event_id="by-hand", coordinates=None, trace_id=None, traceparent=None),
        }.items():
            steps[name] = tier.write(claim)
            snapshots[name] = tier.catalog.publish(replace(steps[name].publication, trigger=trigger))
        snapshots["foreign"] = tier.add_foreign()
        config = tmp_path_factory.mktemp("trace") / "icehaul.yaml"
        store = tier.store.model_dump(include={"endpoint", "region", "bucket", "prefix", "access_key"})
        stream = {
            "name": tier.stream.name,
            "source": str(tier.stream.source),
            "target": str(tier.stream.target),
            "timestamp_column": "ts",
            "settle_lag": "0s",
        }
        config.write_text(
            yaml.safe_dump({"store": store, "streams": [stream, {**stream, "name": "other", "target": "a.b"}]})
        )
        yield World(tier=tier, config=config, sampled=steps["sampled"], snapshots=snapshots)


@pytest.fixture(autouse=True)
def _configured(world: World, monkeypatch: pytest.MonkeyPatch, _plain_terminal: None) -> None:
    assert world.tier.store.secret_key is not None
    monkeypatch.setenv("ICEHAUL_CONFIG", str(world.config))
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", world.tier.dsn)
    monkeypatch.setenv("ICEHAUL_STORE__SECRET_KEY", world.tier.store.secret_key.get_secret_value())


def test_a_snapshot_leads_to_batch_event_offset_and_trace(world: World, icehaul: Run) -> None:
    ended = icehaul("trace", "--snapshot", str(world.snapshots["sampled"]))
    assert ended.code == 0, ended.err
    for part in (
        str(world.sampled.publication.batch.id),
        "of stream trades",
        "2024-01-01 00:00:00 → 2024-01-01 01:00:00  (window, published, 3 rows)",
        TRIGGER.event_id,
        "topic icehaul.events, partition 3, offset 7",
        str(TRIGGER.trace_id),
        "not drawn: telemetry.trace_file is not set",
    ):
        assert part in ended.out


def test_batch_and_event_lead_to_the_same(world: World, icehaul: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEHAUL_TELEMETRY__TRACE_URL", "https://traces.example.net/{trace_id}")
    batch = str(world.sampled.publication.batch.id)
    (found,) = icehaul("trace", "--batch", batch, "--output", "json").data["batches"]
    assert (found["snapshot_id"], found["sampled"]) == (world.snapshots["sampled"], True)
    by_event = icehaul("trace", "trades", "--event", TRIGGER.event_id, "--output", "json").data
    assert found in by_event["batches"]
    assert by_event["traces"][0] == {
        "trace_id": TRIGGER.trace_id,
        "state": "elsewhere",
        "url": f"https://traces.example.net/{TRIGGER.trace_id}",
        "spans": [],
    }


def test_a_snapshot_that_the_ledger_does_not_know_speaks_for_itself(world: World, icehaul: Run) -> None:
    ids = (world.snapshots["sampled"], 1)
    move = "UPDATE offload_batches SET snapshot_id = %s WHERE snapshot_id = %s"
    world.tier.execute(move, *reversed(ids))
    try:
        (found,) = icehaul("trace", "--snapshot", str(ids[0]), "--output", "json").data["batches"]
    finally:
        world.tier.execute(move, *ids)
    assert found["batch_id"] == str(world.sampled.publication.batch.id)
    assert found["events"] == [TRIGGER.event_id]
    assert found["kafka"] == {"topic": "icehaul.events", "partition": 3, "offset": 7}


def test_a_trace_that_was_not_sampled_is_said_to_be_nowhere(world: World, icehaul: Run) -> None:
    ended = icehaul("trace", "--snapshot", str(world.snapshots["unsampled"]))
    assert ended.code == 1
    assert "tick-2" in ended.out
    assert f"trace {UNSAMPLED.split('-')[1]} was not sampled" in ended.out
    assert "telemetry.sample_ratio" in ended.out


def test_a_batch_without_a_trace_still_tells_its_event(world: World, icehaul: Run) -> None:
    ended = icehaul("trace", "--snapshot", str(world.snapshots["untraced"]))
    assert ended.code == 1
    assert "by-hand" in ended.out
    assert "no trace: the batch was done by a process that made none" in ended.out


def test_a_snapshot_of_another_writer_is_refused_with_its_table(world: World, icehaul: Run) -> None:
    ended = icehaul("trace", "--snapshot", str(world.snapshots["foreign"]))
    assert ended.code == 2
    ended.explained("it was not written by icehaul", "in bronze.trades it is a snapshot (append)", "by another writer")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--snapshot", "17"], "neither the ledger nor the target of any configured stream has it"),
        (["trades", "--snapshot", "17"], "neither the ledger nor the target of stream trades has it"),
        (["--batch", NOBODYS], "the ledger has no such batch"),
        (["--event", "none"], "no batch was attempted on its behalf"),
        (["nobody", "--event", "none"], "there is no stream 'nobody'"),
    ],
)
def test_an_id_that_nobody_knows_is_an_error_with_a_remedy(icehaul: Run, arguments: list[str], said: str) -> None:
    ended = icehaul("trace", *arguments)
    assert ended.code == 2
    ended.explained(said)


def test_a_batch_of_another_stream_than_the_one_named_is_refused(world: World, icehaul: Run) -> None:
    ended = icehaul("trace", "other", "--batch", str(world.sampled.publication.batch.id))
    assert ended.code == 2
    ended.explained("it is a batch of stream trades, not of other")


@pytest.mark.parametrize("arguments", [[], ["--snapshot", "1", "--event", "x"], ["--batch", "no-id"]])
def test_exactly_one_id_has_to_be_given(icehaul: Run, arguments: list[str]) -> None:
    assert icehaul("trace", *arguments).code == 2
