from __future__ import annotations

import base64
from email.message import Message

import pytest

from consumer.embedded.clickhouse.errors import QueryError
from consumer.embedded.clickhouse.limits import Limits
from consumer.embedded.clickhouse.request import QueryRequest, read_credentials, read_fields, read_query


def headers(**values: str) -> Message:
    message = Message()
    for name, value in values.items():
        message[name.replace("_", "-")] = value
    return message


def request(query_string: str, *, method: str = "POST", **values: str) -> QueryRequest:
    return read_query(method, headers(**values), read_fields(query_string), Limits())


def test_fields_become_parameters_settings_and_transport() -> None:
    read = request("query=SELECT+1&param_x=a%09b&max_threads=2&database=d&wait_end_of_query=1&query_id=q&quota_key=k")
    assert read.query == b"SELECT 1"
    assert read.parameters == {"x": "a\tb"}
    assert read.settings == {"max_threads": "2"}
    assert (read.database, read.wait_end_of_query, read.query_id) == ("d", True, "q")


def test_settings_about_http_stay_with_the_server() -> None:
    read = request("enable_http_compression=0&send_progress_in_http_headers=1&http_zlib_compression_level=99")
    assert read.settings == {}
    assert read.coding_level == 9


def test_bytes_that_are_no_utf8_reach_the_engine_as_they_are() -> None:
    assert request("query=SELECT+'%ff'").query == b"SELECT '\xff'"


def test_get_and_the_setting_readonly_make_a_request_read_only() -> None:
    assert request("", method="GET").read_only
    assert request("", method="GET").settings == {"readonly": "2"}
    assert request("readonly=1", method="GET").settings == {"readonly": "1"}
    assert not request("").read_only
    assert request("readonly=1").read_only


def test_headers_go_before_fields() -> None:
    read = request("database=a&default_format=CSV", X_ClickHouse_Database="b", X_ClickHouse_Format="TSV")
    assert (read.database, read.default_format) == ("b", "TSV")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("gzip, br;q=0.5, zstd", "zstd"),
        ("zstd;q=0, lz4", "lz4"),
        ("*", None),
    ],
)
def test_the_best_accepted_coding_is_chosen(accepted: str, coding: str | None) -> None:
    assert request("", Accept_Encoding=accepted).response_coding == coding
    assert request("enable_http_compression=0", Accept_Encoding=accepted).response_coding is None


def test_the_response_buffer_is_bounded_on_both_sides() -> None:
    limits = Limits()
    assert request("").buffer_bytes == limits.response_buffer_bytes
    assert request("buffer_size=5").buffer_bytes == limits.response_buffer_bytes
    assert request("buffer_size=99999999999").buffer_bytes == limits.response_buffer_bytes_max


@pytest.mark.parametrize(
    ("query_string", "code"),
    [
        ("session_id=x&session_timeout=soon", 374),
        ("session_id=x&session_timeout=3601", 374),
        ("wait_end_of_query=maybe", 36),
        ("buffer_size=-1", 36),
        ("a%20b=1", 36),
        ("param_a-b=1", 36),
        ("&".join(f"s{n}=1" for n in range(3000)), 36),
    ],
)
def test_malformed_fields_are_refused_with_clickhouses_code(query_string: str, code: int) -> None:
    with pytest.raises(QueryError) as caught:
        request(query_string)
    assert caught.value.code == code


def test_sessions_have_a_default_timeout() -> None:
    session = request("session_id=x").session
    assert session is not None
    assert (session.id, session.timeout_s, session.must_exist) == ("x", 60, False)
    assert request("session_check=1").session is None


def test_ways_to_log_in() -> None:
    basic = "Basic " + base64.b64encode(b"u:p:w").decode()
    for found in (
        read_credentials(headers(Authorization=basic), {}),
        read_credentials(headers(X_ClickHouse_User="u", X_ClickHouse_Key="p:w"), {}),
        read_credentials(headers(), {"user": "u", "password": "p:w"}),
    ):
        assert (found.user, found.password) == ("u", "p:w")
    assert read_credentials(headers(), {}).user == "default"


@pytest.mark.parametrize("authorization", ["Bearer x", "Basic !!", "Basic /w=="])
def test_unreadable_authorization_is_refused(authorization: str) -> None:
    with pytest.raises(QueryError) as caught:
        read_credentials(headers(Authorization=authorization), {})
    assert caught.value.code == 516


def test_ways_to_log_in_do_not_mix() -> None:
    with pytest.raises(QueryError, match="several ways"):
        read_credentials(headers(X_ClickHouse_User="u"), {"user": "u"})


def test_no_representation_shows_a_password() -> None:
    assert "secret" not in repr(read_credentials(headers(X_ClickHouse_User="u", X_ClickHouse_Key="secret"), {}))
