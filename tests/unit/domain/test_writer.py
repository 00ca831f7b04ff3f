"""Which writer a unit takes, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from consumer.domain.batch import KeptRows, Unit
from consumer.domain.fingerprint import EMPTY
from consumer.domain.reconcile import LateRow
from consumer.domain.window import Window
from consumer.domain.writer import EXPORT_BYTES_MIN, Writer, WriterPolicy, choose_writer

WINDOW = Window(lower=datetime(2024, 1, 1, tzinfo=UTC), upper=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=1))
LARGE = Unit(index=0, window=WINDOW, rows=1_000_000, bytes=EXPORT_BYTES_MIN)
SMALL = replace(LARGE, bytes=EXPORT_BYTES_MIN - 1)


def test_auto_exports_large_units_and_streams_small_ones() -> None:
    assert choose_writer(WriterPolicy.AUTO, LARGE, cluster=False).writer is Writer.EXPORT
    small = choose_writer(WriterPolicy.AUTO, SMALL, cluster=False)
    assert (small.writer, small.reason) == (Writer.STREAM, "about 32.0 MiB, below 32.0 MiB")


def test_export_exports_units_of_any_size_and_never_minds_an_earlier_refusal() -> None:
    assert choose_writer(WriterPolicy.EXPORT, SMALL, cluster=False, refusal="no").writer is Writer.EXPORT


def test_stream_always_streams() -> None:
    assert choose_writer(WriterPolicy.STREAM, LARGE, cluster=False).writer is Writer.STREAM


def test_auto_streams_after_a_refusal_and_says_which() -> None:
    choice = choose_writer(WriterPolicy.AUTO, LARGE, cluster=False, refusal="WRITE ON S3 is missing")
    assert (choice.writer, choice.reason) == (Writer.STREAM, "ClickHouse refused to export: WRITE ON S3 is missing")


@pytest.mark.parametrize("policy", [WriterPolicy.AUTO, WriterPolicy.EXPORT])
@pytest.mark.parametrize(
    ("unit", "cluster", "reason"),
    [
        (replace(LARGE, late=(LateRow(hash=1, rows=1, instant=WINDOW.lower),)), False, "hashes"),
        (replace(LARGE, kept=KeptRows(path="s3://b/f", outside=WINDOW, fingerprint=EMPTY)), False, "data file"),
        (LARGE, True, "shards"),
    ],
)
def test_what_no_single_statement_can_prove_is_streamed(
    policy: WriterPolicy, unit: Unit, cluster: bool, reason: str
) -> None:
    choice = choose_writer(policy, unit, cluster=cluster)
    assert choice.writer is Writer.STREAM
    assert reason in choice.reason
