"""The pages replay-by-offset-reset.md and recover-lost-offsets.md, followed with Kafka's own tools on real servers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from structlog.typing import EventDict

from consumer.adapters.kafka.inspection import BrokerInspection
from consumer.bootstrap import Application
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.domain.offset_incident import IncidentKind
from consumer.service.doctor.broker import OffsetsCheck
from consumer.service.doctor.examination import examine
from consumer.service.doctor.finding import Finding
from consumer.service.threads import Signal
from tests.support.consuming import committed_offsets, consuming
from tests.support.kafka_tools import KafkaTools, kafka_tools
from tests.support.local_platform import LocalPlatform, judge, published
from tests.support.platform import day
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"
FIRST = day("2024-01-02")
EVENTS, ROWS = 3, 20
PATIENCE_S = 90.0


def shown(page: str) -> list[tuple[list[str], str]]:
    """The commands of Kafka's tool that a page shows, each with the output below it."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    found = re.findall(r"```bash\n(kafka-consumer-groups\.sh .*?)```\n+```text\n(.*?)```", text, re.DOTALL)
    return [(shlex.split(command.replace("\\\n", " "))[1:], output) for command, output in found]


@dataclass
class Scene:
    """One stream of three days, each of which one event asked for, and a consumer that can come and go."""

    application: Application
    tools: KafkaTools
    stream: str
    handled: list[Event] = field(default_factory=list)

    @property
    def names(self) -> Mapping[str, str]:
        """What the pages call what has names of its own here."""
        kafka = self.application.configuration.kafka
        return {"HOST:9092": kafka.bootstrap_servers, "icehaul": kafka.group, "icehaul.events": kafka.topic}

    def says(self, arguments: list[str]) -> str:
        """Run Kafka's tool with the arguments of a page, and return what it prints in the page's words."""
        names = self.names
        printed = self.tools.consumer_groups([names.get(word, word) for word in arguments])
        for ours, theirs in sorted(names.items(), key=lambda pair: -len(pair[1])):
            printed = printed.replace(theirs, ours)
        return printed

    @contextmanager
    def consumer(self) -> Iterator[list[EventDict]]:
        """Run a consumer until everything is acknowledged, and yield what it has logged."""
        kafka = self.application.configuration.kafka
        self.handled.clear()
        with structlog.testing.capture_logs() as said, consuming(self.application) as loop:
            wait_until(lambda: loop.partitions, seconds=PATIENCE_S, what="the consumer to own the partition")
            wait_until(lambda: committed_offsets(kafka) == {0: EVENTS}, seconds=PATIENCE_S, what="every offset")
            yield said

    def offsets_finding(self) -> Finding:
        """What the doctor says of the group's offsets."""
        settings = self.application.configuration
        broker = BrokerInspection(settings.kafka, settings.consumer)
        check = OffsetsCheck(
            subject=settings.kafka.group, standing=lambda: broker.standing(self.application.remembered)
        )
        (found,) = examine([check])
        return found

    def set_offset(self, offset: int) -> None:
        """Commit an offset for the group as other tools than Kafka's do: whatever the topic holds."""
        kafka = self.application.configuration.kafka
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
        request = ConsumerGroupTopicPartitions(kafka.group, [TopicPartition(kafka.topic, 0, offset)])
        for future in admin.alter_consumer_group_offsets([request]).values():
            future.result(20)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaTools]:
    with kafka_tools(tmp_path_factory.mktemp("tools")) as made:
        yield made


@pytest.fixture
def scene(local: LocalPlatform, tools: KafkaTools) -> Iterator[Scene]:
    local.sections["kafka"] = {"partitions": 1}
    stream = local.add_stream()
    for number in range(EVENTS):
        local.insert(ROWS, first=number * ROWS, day=f"2024-01-0{number + 1}")
    with local.consumer() as application:
        application.topics.ensure()
        scene = Scene(application, tools, stream)
        handle = application.offload.handle

        def handled(event: Event, abandoned: Signal) -> None:
            handle(event, abandoned)
            scene.handled.append(event)

        application.offload.handle = handled  # type: ignore[method-assign]
        send(scene)
        with scene.consumer():
            pass
        yield scene


def send(scene: Scene) -> None:
    """Send a tick for each day."""
    ticks = [tick(stream=scene.stream, boundary=FIRST + timedelta(days=number)) for number in range(EVENTS)]
    scene.application.event_sink.send(ticks)


def incidents(said: list[EventDict]) -> list[EventDict]:
    return [line for line in said if line["event"] == "consumer.offset_incident"]


def words(text: str) -> list[str]:
    return text.split()


def test_the_resets_of_the_page_deliver_again_and_add_no_row(local: LocalPlatform, scene: Scene) -> None:
    batches = published(scene.application, scene.stream)
    redelivered = {"--to-earliest": EVENTS, "--to-datetime": EVENTS, "1": EVENTS - 1, "1000": 0}
    steps = shown("replay-by-offset-reset.md")
    assert len(steps) == 1 + len(redelivered)
    for arguments, output in steps:
        assert words(scene.says(arguments)) == words(output)
        if "--execute" not in arguments:
            continue
        (expected,) = [count for word, count in redelivered.items() if word in arguments]
        with scene.consumer() as said:
            pass
        assert [event.coordinates is not None for event in scene.handled].count(True) <= expected
        assert [line["kind"] for line in incidents(said)] == ["moved"]
        judge(scene.application, scene.stream, rows=EVENTS * ROWS)
        assert published(scene.application, scene.stream) == batches


def test_an_offset_beyond_the_end_and_rows_that_came_late_meanwhile(local: LocalPlatform, scene: Scene) -> None:
    local.insert(1, first=1_000, day="2024-01-01")
    scene.set_offset(1_000)
    assert "offset 1000 lies beyond the partition's end, which is 3" in scene.offsets_finding().message
    with scene.consumer() as said:
        pass
    assert [line["kind"] for line in incidents(said)] == ["beyond_end"]
    judge(scene.application, scene.stream, rows=EVENTS * ROWS + 1)


def test_a_deleted_group_is_told_of_by_doctor_and_log_and_adds_no_row(scene: Scene) -> None:
    page = (HOW_TO / "recover-lost-offsets.md").read_text(encoding="utf-8")
    assert scene.offsets_finding().severity == "ok"
    for arguments, output in shown("recover-lost-offsets.md"):
        assert words(scene.says(arguments)) == words(output)
    found = scene.offsets_finding()
    for part in (found.message, found.remedy):
        assert in_page(scene, part) in " ".join(page.split())
    with scene.consumer() as said:
        pass
    (line,) = incidents(said)
    assert (line["kind"], line["committed"], line["remembered"], line["start"]) == ("offsets_lost", None, 2, 0)
    assert line["streams"] == [scene.stream]
    judge(scene.application, scene.stream, rows=EVENTS * ROWS)
    assert scene.offsets_finding().severity == "ok"


def test_a_topic_that_was_deleted_and_made_anew_loses_no_row(local: LocalPlatform, scene: Scene) -> None:
    application, kafka = scene.application, scene.application.configuration.kafka
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for future in admin.delete_topics([kafka.topic]).values():
        future.result(20)
    wait_until(lambda: kafka.topic not in admin.list_topics(timeout=60).topics, seconds=PATIENCE_S)
    # What an event asked for that is gone with the old topic.
    local.insert(ROWS, first=EVENTS * ROWS, day="2024-01-04")
    application.topics.ensure()
    assert "the topic was deleted and created anew" in scene.offsets_finding().message
    with structlog.testing.capture_logs() as said, consuming(application):
        wait_until(lambda: committed_offsets(kafka) == {0: 0}, seconds=PATIENCE_S, what="the reconcile")
    assert [line["kind"] for line in incidents(said)] == ["topic_recreated"]
    judge(application, scene.stream, rows=(EVENTS + 1) * ROWS)


def in_page(scene: Scene, text: str) -> str:
    """A text in the page's words."""
    for ours, theirs in sorted(scene.names.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(theirs, ours)
    return " ".join(text.split())


def test_every_kind_of_incident_is_explained_on_the_page() -> None:
    page = (HOW_TO / "recover-lost-offsets.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z_]+)`", page, re.MULTILINE)) == set(IncidentKind)
