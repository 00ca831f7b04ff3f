from __future__ import annotations

import pytest

from consumer.domain.clickhouse_error import exception_code, source_error
from consumer.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    IcehaulError,
    SchemaMovedError,
    SourceMissingError,
    SourceUnavailableError,
    UnsupportedTypeError,
)
from consumer.domain.unit_query import TYPES_CHANGED
from consumer.domain.wire_form import invalid_text_message


@pytest.mark.parametrize(
    ("code", "error"),
    [
        *((code, SourceMissingError) for code in (16, 47, 60, 81)),
        *((code, AccessDeniedError) for code in (164, 192, 193, 194, 195, 291, 497, 516)),
        *((code, SourceUnavailableError) for code in (159, 160, 202, 209, 210, 241, 252, 394, 425, 999)),
        (115, ConfigurationError),
        (407, UnsupportedTypeError),
        (None, SourceUnavailableError),
    ],
)
def test_the_servers_code_decides_what_happens_next(code: int | None, error: type[IcehaulError]) -> None:
    raised = source_error(
        "db:8123", code, f"Code: {code}. DB::Exception: something (version 24.3.1.1 (official build))"
    )

    assert type(raised) is error
    assert raised.message.startswith("ClickHouse at db:8123 answered: Code")
    assert "version" not in raised.message
    assert raised.remedy


@pytest.mark.parametrize(("code", "remedy"), [(241, "more memory"), (243, "free space on ClickHouse's disks")])
def test_a_resource_that_has_run_out_is_named_with_the_remedy(code: int, remedy: str) -> None:
    assert remedy in source_error("db:8123", code, f"Code: {code}. DB::Exception: x").remedy


def test_a_user_who_may_only_read_is_told_what_to_do_about_settings_and_about_statements_that_write() -> None:
    settings = "Code: 164. DB::Exception: Cannot modify 'max_threads' setting in readonly mode. (READONLY)"
    writing = "Code: 164. DB::Exception: default: Cannot execute query in readonly mode. (READONLY)"
    assert "readonly = 2" in source_error("db:8123", 164, settings).remedy
    assert "a user without readonly" in source_error("db:8123", 164, writing).remedy


def test_text_that_is_not_utf8_halts_and_names_the_column() -> None:
    text = f"Code: 395. DB::Exception: {invalid_text_message('note')}: while executing 'FUNCTION throwIf(a :: 1)'"

    raised = source_error("db:8123", 395, text)

    assert type(raised) is UnsupportedTypeError
    assert raised.message.endswith("column note holds bytes that are not UTF-8")


def test_changed_types_are_tried_again() -> None:
    assert type(source_error("db:8123", 395, f"Code: 395. DB::Exception: {TYPES_CHANGED}")) is SchemaMovedError


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Code: 60. DB::Exception: x", 60),
        ("Received ClickHouse exception, code: 497, server response", 497),
        ("no", None),
    ],
)
def test_the_code_is_found_in_the_text(text: str, code: int | None) -> None:
    assert exception_code(text) == code
