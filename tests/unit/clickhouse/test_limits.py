"""What a query may take of the server is sent with each of them, or refused with the field that says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import SimpleNamespace

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import ProgrammingError

from consumer.adapters.clickhouse.client import ClickHouseConnection
from consumer.adapters.clickhouse.introspection import ClickHouseIntrospection
from consumer.adapters.spark.access import source_access
from consumer.domain.errors import ConfigurationError
from consumer.service.doctor.examination import examine
from consumer.service.doctor.finding import Severity
from consumer.service.doctor.servers import ClickHouseCheck
from consumer.settings.connections import ClickHouseSettings, SparkSettings
from consumer.settings.limits import LIMITS, ClickHouseLimits

ALL = {
    "threads": 3,
    "memory": "1GiB",
    "read_bandwidth": "50MiB",
    "network_bandwidth": "20MiB",
    "priority": 7,
    "workload": "offload",
}
SENT = {
    "max_threads": 3,
    "max_memory_usage": 1024**3,
    "max_local_read_bandwidth": 50 * 1024**2,
    "max_remote_read_network_bandwidth": 50 * 1024**2,
    "max_network_bandwidth": 20 * 1024**2,
    "priority": 7,
    "workload": "offload",
}


class Server:
    """A client of a server that knows the settings ``known``, and lets nobody change those of ``fixed``."""

    def __init__(self, known: Collection[str], fixed: Collection[str]) -> None:
        self.server_settings = {name: SimpleNamespace(readonly=name in fixed) for name in known}
        self.database = "default"
        self.sent: dict[str, object] = {}

    def set_client_setting(self, name: str, value: object) -> None:
        if name not in self.server_settings or self.server_settings[name].readonly:
            raise ProgrammingError(f"Setting {name} is unknown or readonly")
        self.sent[name] = value

    def query(self, _query: str, **_options: object) -> SimpleNamespace:
        return SimpleNamespace(result_rows=[])


def connected(
    monkeypatch: pytest.MonkeyPatch, limits: Mapping[str, object], known: Collection[str], fixed: Collection[str] = ()
) -> Server:
    server = Server(known, fixed)
    monkeypatch.setattr(clickhouse_connect, "get_client", lambda **_: server)
    ClickHouseConnection(ClickHouseSettings.model_validate({"limits": limits}), {}).rows("SELECT 1")
    return server


def test_every_limit_is_sent_with_the_queries_of_consumer_and_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(ALL) == set(LIMITS) == set(ClickHouseLimits.model_fields)
    assert connected(monkeypatch, ALL, SENT).sent == SENT
    access = source_access(ClickHouseSettings.model_validate({"limits": ALL}), SparkSettings())
    assert dict(access.settings) == SENT


def test_without_limits_the_servers_own_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connected(monkeypatch, {}, SENT).sent == {}


@pytest.mark.parametrize("field", ALL)
def test_a_profile_that_does_not_allow_a_limit_is_told_with_the_field(
    monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"clickhouse\.limits\.{field}: .* does not let user") as refused:
        connected(monkeypatch, {field: ALL[field]}, SENT, LIMITS[field])
    assert "profile of the user" in refused.value.remedy


def test_a_server_that_knows_no_such_limit_is_told_with_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"clickhouse\.limits\.workload: .* knows no workload") as refused:
        connected(monkeypatch, ALL, SENT.keys() - {"workload"})
    assert "upgrade ClickHouse" in refused.value.remedy


def test_the_doctor_tells_a_limit_that_the_profile_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_connect, "get_client", lambda **_: Server(SENT, ["max_memory_usage"]))
    look = ClickHouseIntrospection(ClickHouseSettings.model_validate({"limits": ALL}))
    (found,) = examine([ClickHouseCheck(subject="127.0.0.1:8123", server=look.server)])
    assert found.severity is Severity.ERROR
    assert found.message.startswith("clickhouse.limits.memory: ")
    assert found.remedy == "set it so in the profile of the user, and leave the field out"
