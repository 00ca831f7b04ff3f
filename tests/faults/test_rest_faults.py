"""A REST catalog that misbehaves: what it says is not believed, the table is asked, and every row is there once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import pytest
from pydantic import SecretStr

from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.iceberg.target import Base
from consumer.domain.batch import BatchStatus
from consumer.domain.errors import (
    AccessDeniedError,
    BaseMovedError,
    CatalogUnavailableError,
    ConfigurationError,
    IcehaulError,
    UnknownCommitError,
)
from consumer.embedded.ports import free_ports
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import CatalogSettings
from tests.support.cold_tier import MAPPING, IcebergColdTier
from tests.support.replayed_http import replaying
from tests.support.rest_proxy import Fault, Manner, RestProxy, rest_proxy
from tests.support.two_step import open_intents, run, settled, status, take_over
from tests.support.two_step_tier import TierDatabases, two_step_tier

BEFORE, AFTER = False, True
UNKNOWN = [
    *(
        Fault(manner=Manner.STATUS, status=code, applied=applied)
        for code in (500, 502, 503, 504)
        for applied in (BEFORE, AFTER)
    ),
    *(
        Fault(manner=manner, applied=applied)
        for manner in (Manner.CUT, Manner.SILENCE, Manner.GARBAGE)
        for applied in (BEFORE, AFTER)
    ),
]


@pytest.fixture
def tier(databases: TierDatabases) -> Iterator[IcebergColdTier]:
    with two_step_tier(databases, "rest") as real:
        yield real


@pytest.fixture
def proxy(stack: EmbeddedStack) -> Iterator[RestProxy]:
    with rest_proxy(stack.endpoints.rest_catalog.uri) as running:
        yield running


@contextmanager
def through(tier: IcebergColdTier, uri: str, **changes: object) -> Iterator[IcebergCatalog]:
    """A catalog whose requests go to this address."""
    settings = tier.settings.model_copy(update={"uri": uri, "timeout_seconds": 2.0, **changes})
    catalog = tier.another(settings=settings)
    try:
        yield catalog
    finally:
        catalog.close()


def strays(tier: IcebergColdTier) -> set[str]:
    """Manifests on the store that no snapshot refers to; the server's own metadata files are its affair."""
    table = tier.table()
    live = {snapshot.manifest_list for snapshot in table.snapshots()}
    live |= {each.manifest_path for snapshot in table.snapshots() for each in snapshot.manifests(table.io)}
    return {key for key in tier.keys("metadata") if PurePosixPath(key).suffix == ".avro"} - live


@pytest.mark.parametrize("fault", UNKNOWN, ids=str)
def test_an_unknown_outcome_is_read_back_and_nothing_is_deleted(
    tier: IcebergColdTier, proxy: RestProxy, fault: Fault
) -> None:
    claim = tier.begin()
    step = tier.write(claim)
    with through(tier, proxy.uri) as catalog:
        proxy.strike(fault)
        with pytest.raises(UnknownCommitError):
            catalog.publish(step.publication)
        assert proxy.commits == 1, "it was not sent again on a guess"
        assert status(tier, step.publication) is BatchStatus.PUBLISHING
        assert bool(strays(tier)) is not fault.applied
        catalog.heal(tier.stream, claim, final=False)
        assert (status(tier, step.publication) is BatchStatus.PUBLISHED) is fault.applied
        if not fault.applied:
            catalog.publish(step.publication)
    settled(tier, rows=3, batches=1)


def test_a_refused_commit_leaves_nothing_behind_and_is_staged_again(tier: IcebergColdTier, proxy: RestProxy) -> None:
    step = tier.write(tier.begin())
    with through(tier, proxy.uri) as catalog:
        proxy.strike(Fault(manner=Manner.STATUS, status=409, applied=BEFORE))
        with pytest.raises(BaseMovedError):
            catalog.publish(step.publication)
        assert strays(tier) == set()
        assert open_intents(tier) == 0
        catalog.publish(step.publication)
    settled(tier, rows=3, batches=1)


@pytest.mark.parametrize(
    "fault",
    [Fault(manner=Manner.TWICE, applied=AFTER), Fault(manner=Manner.STATUS, status=409, applied=AFTER)],
    ids=["sent-twice-on-the-way", "409-of-a-liar"],
)
def test_a_refusal_of_what_has_landed_is_not_believed(tier: IcebergColdTier, proxy: RestProxy, fault: Fault) -> None:
    step = tier.write(tier.begin())
    with through(tier, proxy.uri) as catalog:
        proxy.strike(fault)
        assert catalog.publish(step.publication) == tier.target().snapshot_id
    assert strays(tier) == set()
    settled(tier, rows=3, batches=1)


def test_a_base_that_moved_is_never_rebased_on_by_the_client(
    tier: IcebergColdTier, proxy: RestProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = tier.begin()
    tier.publish(claim)
    step = tier.write(claim)
    foreign: list[int] = []
    with through(tier, proxy.uri) as catalog:
        pointers = catalog._placement.pointers
        commit = pointers.commit

        def after_another(base: Base, staged: StagedCommit) -> Base:
            foreign.append(tier.add_foreign())
            return commit(base, staged)

        monkeypatch.setattr(pointers, "commit", after_another)
        with pytest.raises(BaseMovedError):
            catalog.publish(step.publication)
        monkeypatch.setattr(pointers, "commit", commit)
        assert proxy.commits == 1
        assert tier.target().snapshot_id == foreign[0]
        catalog.publish(step.publication)
    settled(tier, rows=7, batches=2, foreign=1)


def test_faults_one_after_the_other_end_with_one_snapshot(tier: IcebergColdTier, proxy: RestProxy) -> None:
    step = tier.write(tier.begin())
    with through(tier, proxy.uri) as catalog:
        proxy.strike(
            Fault(manner=Manner.STATUS, status=503, applied=BEFORE),
            Fault(manner=Manner.STATUS, status=409, applied=BEFORE),
            Fault(manner=Manner.CUT, applied=AFTER),
        )
        assert run(tier, catalog, step.publication) == [UnknownCommitError, BaseMovedError, UnknownCommitError]
    settled(tier, rows=3, batches=1)


def test_a_seal_whose_answer_is_lost_is_looked_for(tier: IcebergColdTier, proxy: RestProxy) -> None:
    claim = tier.begin()
    with through(tier, proxy.uri) as catalog:
        proxy.strike(Fault(manner=Manner.CUT, applied=BEFORE), Fault(manner=Manner.STATUS, status=500, applied=AFTER))
        with pytest.raises(UnknownCommitError):
            catalog.publish(tier.write(claim).publication)
        catalog.heal(tier.stream, claim, final=True)
        assert open_intents(tier) == 0
    assert len(tier.table().snapshots()) == 1
    heir = take_over(tier, claim)
    tier.publish(heir)
    settled(tier, rows=3, batches=1)


@pytest.mark.parametrize(
    ("code", "error"),
    [(400, ConfigurationError), (401, AccessDeniedError), (403, AccessDeniedError), (429, CatalogUnavailableError)],
)
def test_an_answer_below_500_is_a_refusal_and_names_what_to_do(
    tier: IcebergColdTier, proxy: RestProxy, code: int, error: type[IcehaulError]
) -> None:
    step = tier.write(tier.begin())
    refusal = Fault(manner=Manner.STATUS, status=code, applied=BEFORE)
    with through(tier, proxy.uri) as catalog:
        proxy.strike(refusal, *([refusal] if code == 401 else []))
        with pytest.raises(error, match="made up") as raised:
            catalog.publish(step.publication)
        assert raised.value.remedy
        assert strays(tier) == set()
        assert open_intents(tier) == 0
        catalog.publish(step.publication)
    settled(tier, rows=3, batches=1)


# ---------------------------------------------------------------------------------------------- the server itself


def test_a_server_that_is_away_has_certainly_taken_nothing(tier: IcebergColdTier) -> None:
    (port,) = free_ports(1)
    with through(tier, f"http://127.0.0.1:{port}") as catalog, pytest.raises(CatalogUnavailableError, match=str(port)):
        catalog.inspect(tier.stream.target)


def test_wrong_credentials_are_named_and_not_shown(tier: IcebergColdTier) -> None:
    for changes in ({"credential": SecretStr("nobody:hunter2")}, {"credential": None, "token": SecretStr("hunter2")}):
        with through(tier, str(tier.settings.uri), **changes) as catalog:
            with pytest.raises(AccessDeniedError, match=r"catalog\.credential") as raised:
                catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
            assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found", ConfigurationError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", CatalogUnavailableError),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", CatalogUnavailableError),
    ],
    ids=["404", "no-json", "503"],
)
def test_a_server_that_is_no_catalog_is_told_apart_from_one_that_is_busy(
    tier: IcebergColdTier, answer: bytes, error: type[IcehaulError]
) -> None:
    with replaying(answer) as port, through(tier, f"http://127.0.0.1:{port}", credential=None) as catalog:
        with pytest.raises(error) as raised:
            catalog.inspect(tier.stream.target)
        assert raised.value.remedy


def test_settings_reach_the_server_and_secrets_stay_out_of_what_is_shown(tier: IcebergColdTier) -> None:
    settings = CatalogSettings.model_validate(
        {"type": "rest", "uri": "http://127.0.0.1:1", "token": "t0ken", "secret_properties": {"header.X-Key": "k3y"}}
    )
    assert "t0ken" not in repr(settings)
    assert "k3y" not in repr(settings)
