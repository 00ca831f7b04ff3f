"""What of the store's keys a job is given: no more than its units need."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from pydantic import SecretStr, ValidationError

from consumer.adapters.spark.access import source_access, store_access
from consumer.adapters.spark.credentials import TaskCredentials, _policy, outlived
from consumer.adapters.spark.engine import SparkEngine, _through_files
from consumer.domain.batch import Batch, BatchKind, Unit
from consumer.domain.errors import (
    AccessDeniedError,
    EngineFailedError,
    IcehaulError,
    SourceMissingError,
    StoreUnavailableError,
)
from consumer.domain.window import Window
from consumer.settings.connections import ClickHouseSettings, SparkSettings, StoreSettings
from spark.unit_task import ExportOrder, FileLayout, JobContext, UnitOutcome, UnitTask

STORE = StoreSettings(endpoint="http://store", access_key="key", secret_key=SecretStr("of the store"))
SECOND = 10**9
END = 1_000 * SECOND
EXPIRING = replace(store_access(STORE), session_token="t", expires_ns=END)
WINDOW = Window(lower=datetime(2024, 1, 1, tzinfo=UTC), upper=datetime(2024, 1, 2, tzinfo=UTC))
DENIED = AccessDeniedError("no", remedy="none")


def outcome(unit: int, error: IcehaulError | None, ended_ns: int) -> UnitOutcome:
    return UnitOutcome(unit=unit, file=None, error=error, started_ns=0, ended_ns=ended_ns)


def test_without_a_role_tasks_get_the_keys_themselves() -> None:
    assert TaskCredentials(STORE).for_job(uuid4(), "s3://b/t/data/x") == store_access(STORE)


@pytest.mark.parametrize("error", [DENIED, StoreUnavailableError("?", remedy="none")])
def test_what_the_store_refuses_after_the_credentials_end_is_done_again(error: IcehaulError) -> None:
    outcomes = [outcome(0, error, END), outcome(1, error, END - 31 * SECOND), outcome(2, None, END + SECOND)]

    assert outlived(EXPIRING, outcomes) == {0}


def test_what_the_store_calls_expired_is_done_again_whatever_the_clocks_say() -> None:
    said = AccessDeniedError("AWS Error EXPIRED_TOKEN during PutObject operation", remedy="none")

    assert outlived(EXPIRING, [outcome(0, said, 0)]) == {0}


def test_other_errors_and_keys_that_do_not_expire_are_no_reason_to_do_it_again() -> None:
    assert outlived(EXPIRING, [outcome(0, SourceMissingError("gone", remedy="none"), END)]) == frozenset()
    assert outlived(store_access(STORE), [outcome(0, DENIED, END)]) == frozenset()


def test_units_that_always_outlive_their_credentials_are_given_up_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[Sequence[UnitTask]] = []

    def late(_engine: SparkEngine, _batch: Batch, _context: JobContext, tasks: Sequence[UnitTask]) -> list[UnitOutcome]:
        jobs.append(tasks)
        return [outcome(task.index, None if task.index == 0 else DENIED, END) for task in tasks]

    monkeypatch.setattr(SparkEngine, "_run", late)
    batch = Batch(id=uuid4(), stream="s", kind=BatchKind.WINDOW, window=WINDOW, generation=0, units=())
    tasks = [UnitTask(index=index, batch_id="b", query="SELECT 1", prefix="s3://b/t") for index in range(3)]
    settings = SparkSettings()
    context = JobContext(
        source=source_access(ClickHouseSettings(), settings),
        store=EXPIRING,
        layout=FileLayout(schema_json="{}", row_group_rows=1, row_group_bytes=1),
    )

    with pytest.raises(EngineFailedError, match=r"expired before any of its units \[1, 2\]") as caught:
        SparkEngine(settings, ClickHouseSettings(), STORE)._outcomes(batch, context, tasks, lambda: EXPIRING)

    assert [[task.index for task in job] for job in jobs] == [[0, 1, 2], [1, 2]]
    assert "raise store.task_credentials_seconds" in caught.value.remedy


def test_tasks_that_rewrite_files_may_read_below_the_table_and_write_in_their_own_folder_alone() -> None:
    role = "arn:aws:iam::1:role/tasks"
    own, *_ = json.loads(_policy(role, "s3://b/t/data/1", None))["Statement"]
    written, *others = json.loads(_policy(role, "s3://b/t/data/1", "s3://b/t"))["Statement"]
    assert written == own
    assert others == [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::b/t/*"]}]


def test_the_servers_key_to_files_goes_only_with_units_that_need_it() -> None:
    unit = Unit(index=0, window=WINDOW, rows=1)
    task = UnitTask(index=0, batch_id="b", query="SELECT 1", prefix="s3://b/t")

    assert not _through_files(unit, task)
    assert _through_files(unit, replace(task, export=ExportOrder(statement="INSERT", may_stream=True)))


@pytest.mark.parametrize("wrong", [{"task_role": "icehaul-tasks"}, {"task_credentials_seconds": 60}])
def test_what_is_no_role_and_what_no_sts_gives_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StoreSettings.model_validate(wrong)
