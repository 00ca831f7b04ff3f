from __future__ import annotations

import pytest

from consumer.embedded.clickhouse.errors import QueryError, from_engine, http_status
from consumer.embedded.clickhouse.reply import content_type


def test_an_engines_error_keeps_code_name_and_text() -> None:
    error = from_engine("Code: 60. DB::Exception: Unknown table 'x'. (UNKNOWN_TABLE)")
    assert (error.code, error.name, error.message) == (60, "UNKNOWN_TABLE", "Unknown table 'x'")


def test_layers_of_one_error_are_peeled_off() -> None:
    text = (
        "Code: 115. DB::Exception: Code: 115. DB::Exception: Unknown setting 'nope' (a hint). (UNKNOWN_SETTING) "
        "(version 26.9.2.1). (UNKNOWN_SETTING)"
    )
    assert (
        from_engine(text).wire_text("26.9.2.1")
        == "Code: 115. DB::Exception: Unknown setting 'nope' (a hint). (UNKNOWN_SETTING) (version 26.9.2.1)"
    )


def test_texts_of_another_shape_survive() -> None:
    assert from_engine("no code here").message == "no code here"
    assert from_engine("").code == 1001
    assert from_engine("Code: 7. DB::Exception: no name").name == "UNKNOWN_EXCEPTION"


@pytest.mark.parametrize(
    ("code", "status"), [(60, 404), (62, 400), (516, 403), (194, 401), (159, 408), (48, 501), (373, 500), (241, 500)]
)
def test_statuses_are_those_of_a_server(code: int, status: int) -> None:
    assert http_status(code) == status


def test_an_error_names_its_remedy_to_people_but_not_on_the_wire() -> None:
    error = QueryError("Bad", code=36, remedy="Do better")
    assert "Do better" in str(error)
    assert error.wire_text("1") == "Code: 36. DB::Exception: Bad. (BAD_ARGUMENTS) (version 1)"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("JSON", "application/json; charset=UTF-8"),
        ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
        ("TSV", "text/tab-separated-values; charset=UTF-8"),
        ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("ArrowStream", "application/octet-stream"),
        ("Pretty", "text/plain; charset=UTF-8"),
    ],
)
def test_media_types(name: str, media_type: str) -> None:
    assert content_type(name) == media_type
