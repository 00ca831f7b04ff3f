from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from consumer.adapters.kafka.topics import Topics
from consumer.domain.errors import BrokerUnavailableError, ConfigurationError
from consumer.embedded.stack import EmbeddedStack
from tests.support.kafka_topics import kafka_settings, read_topic


def test_topics_are_created_once_and_found_as_configured(stack: EmbeddedStack, unique_name: str) -> None:
    settings = kafka_settings(stack, unique_name)
    report = Topics(settings).ensure()
    assert report.created == (settings.topic, settings.dead_letter_topic)
    assert report.findings == ()
    again = Topics(settings).ensure()
    assert (again.created, again.findings) == ((), ())
    assert read_topic(settings, settings.topic) == []


def test_several_processes_may_create_them_at_once(stack: EmbeddedStack, unique_name: str) -> None:
    settings = kafka_settings(stack, unique_name)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: Topics(settings).ensure(), range(4)))
    created = [name for report in reports for name in report.created]
    assert sorted(created) == sorted([settings.topic, settings.dead_letter_topic])
    assert [report.findings for report in reports] == [()] * 4


def test_checking_creates_nothing(stack: EmbeddedStack, unique_name: str) -> None:
    topics = Topics(kafka_settings(stack, unique_name))
    for _ in range(2):
        findings = topics.verify()
        assert [finding.field for finding in findings] == ["existence", "existence"]
        assert "does not exist" in str(findings[0])


def test_existing_topics_that_differ_are_reported_and_left_alone(stack: EmbeddedStack, unique_name: str) -> None:
    Topics(kafka_settings(stack, unique_name, retention=timedelta(days=40))).ensure()
    other = kafka_settings(stack, unique_name, partitions=9, retention=timedelta(days=50))
    for _ in range(2):
        report = Topics(other).ensure()
        assert report.created == ()
        assert {(finding.topic, finding.field, finding.found, finding.expected) for finding in report.findings} == {
            (name, *difference)
            for name in (other.topic, other.dead_letter_topic)
            for difference in (
                ("partitions", "6", "9"),
                ("retention.ms", str(40 * 86_400_000), str(50 * 86_400_000)),
            )
        }
        assert all(finding.remedy for finding in report.findings)


def test_longer_retention_than_configured_is_no_finding(stack: EmbeddedStack, unique_name: str) -> None:
    Topics(kafka_settings(stack, unique_name, retention=timedelta(days=40))).ensure()
    assert Topics(kafka_settings(stack, unique_name, retention=timedelta(days=1))).verify() == ()


def test_more_replicas_than_brokers_are_refused_with_the_field_to_correct(
    stack: EmbeddedStack, unique_name: str
) -> None:
    with pytest.raises(ConfigurationError, match=unique_name) as caught:
        Topics(kafka_settings(stack, unique_name, replication_factor=3)).ensure()
    assert "kafka.replication_factor" in caught.value.remedy


def test_no_broker_is_an_error_that_passes(stack: EmbeddedStack, unique_name: str) -> None:
    settings = kafka_settings(stack, unique_name, bootstrap_servers="127.0.0.1:9")
    with pytest.raises(BrokerUnavailableError, match=r"127\.0\.0\.1:9"):
        Topics(settings, timeout_s=1).ensure()


def test_an_option_that_librdkafka_does_not_know_is_named(stack: EmbeddedStack, unique_name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.such\.option"):
        Topics(kafka_settings(stack, unique_name, options={"no.such.option": "1"}))
