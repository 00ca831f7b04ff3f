from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.embedded.clickhouse.statement import InsertWithData, Kind, Statement, read, tokens


def plain(text: str) -> Statement:
    found = read(text.encode())
    assert isinstance(found, Statement)
    return found


def insert(text: bytes) -> InsertWithData:
    found = read(text)
    assert isinstance(found, InsertWithData)
    return found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Kind.EMPTY),
        (" ;; -- nothing", Kind.EMPTY),
        ("select 1", Kind.ROWS),
        ("(SELECT 1)", Kind.ROWS),
        ("/* a */ -- b\n WITH 1 AS x SELECT x", Kind.ROWS),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", Kind.INSERT),
        ("show tables", Kind.ANSWER),
        ("KILL QUERY WHERE 1", Kind.ANSWER),
        ("SET a = 1", Kind.SESSION),
        ("CREATE TABLE t AS SELECT 1", Kind.OTHER),
        ("ALTER TABLE t DROP PARTITION 1", Kind.OTHER),
        ("INSERT INTO t SELECT * FROM u", Kind.INSERT),
    ],
)
def test_the_first_word_tells_the_kind(text: str, kind: Kind) -> None:
    assert plain(text).kind is kind


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SELECT 1", None),
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("SELECT 1 format json;", "json"),
        ("SELECT 1 FORMAT JSON SETTINGS a = 1", "JSON"),
        ("SELECT 1 SETTINGS a = 1 FORMAT JSON", "JSON"),
        ("SELECT ' FORMAT JSON'", None),
        ("SELECT 1 -- FORMAT JSON", None),
        ("SELECT $$ FORMAT JSON $$ FORMAT CSV", "CSV"),
        ("SELECT t.format FROM t FORMAT TSV", "TSV"),
        ("SELECT `FORMAT x` FROM t", None),
        ("SELECT (SELECT 1 FORMAT JSON)", None),
        ("SELECT format FROM t", None),
        ("SELECT 'it''s \\' FORMAT JSON' FORMAT XML", "XML"),
    ],
)
def test_the_format_clause_is_the_one_at_the_end(text: str, name: str | None) -> None:
    statement = plain(text)
    assert statement.format == name
    if name is not None:
        assert statement.format_start is not None
        assert text[statement.format_start :].upper().startswith("FORMAT")


def test_the_end_excludes_semicolon_and_comment() -> None:
    text = "SELECT ';' ; -- done"
    assert text[: plain(text).end] == "SELECT ';'"
    assert not plain(text).multiple


@pytest.mark.parametrize("text", ["SELECT 1; SELECT 2", "INSERT INTO t SELECT 1; DROP TABLE t", "SET a=1;;SET b=2"])
def test_several_statements_are_noticed(text: str) -> None:
    assert plain(text).multiple


def test_files_of_the_server_are_noticed() -> None:
    assert plain("SELECT 1 INTO OUTFILE 'x'").into_outfile
    assert plain("INSERT INTO t FROM INFILE 'x' FORMAT CSV").from_infile
    assert not plain("SELECT into, outfile FROM t").into_outfile


@pytest.mark.parametrize(
    ("text", "format_name", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV \r\n1,2", "CSV", b"1,2"),
        (b"insert into t (a, b) format TSV\n\n", "TSV", b"\n"),
        (b"INSERT INTO t FORMAT Native\n\x01\xff'unclosed", "Native", b"\x01\xff'unclosed"),
        (b"INSERT INTO t VALUES (1, 'a'), (2)", "Values", b" (1, 'a'), (2)"),
        (b"INSERT INTO t (values) VALUES(1)", "Values", b"(1)"),
        (b"INSERT INTO db.values VALUES (1)", "Values", b" (1)"),
        (b"INSERT INTO format FORMAT CSV\n1", "CSV", b"1"),
        (b"INSERT INTO t SETTINGS a = 1 FORMAT CSV\n1", "CSV", b"1"),
        (b"INSERT INTO FUNCTION file('x', 'CSV') FORMAT CSV\n1", "CSV", b"1"),
        (b"INSERT INTO t", None, None),
    ],
)
def test_the_data_of_an_insert_begins_after_its_format(
    text: bytes, format_name: str | None, data: bytes | None
) -> None:
    found = read(text)
    if format_name is None:
        assert isinstance(found, Statement)
        return
    assert isinstance(found, InsertWithData)
    assert (found.format, text[found.data_start :]) == (format_name, data)


def test_the_settings_of_an_insert_come_after_its_source() -> None:
    text = b"INSERT INTO t (a) SETTINGS x = 1 FORMAT CSV\n1"
    found = insert(text)
    assert text[found.clause_start :].startswith(b"SETTINGS")
    assert text[: found.head_end] == b"INSERT INTO t (a) SETTINGS x = 1 "


def test_the_input_function_is_found_with_its_arguments() -> None:
    text = b"INSERT INTO t SELECT lower(a) FROM input('a String, b Array(Int8)') WHERE f(a) FORMAT CSV\nx"
    found = insert(text)
    assert found.input_function is not None
    start, arguments_start, arguments_end = found.input_function
    assert text[start:arguments_start] == b"input("
    assert text[arguments_start:arguments_end] == b"'a String, b Array(Int8)'"
    assert text[found.data_start :] == b"x"


def test_read_only_statements() -> None:
    assert plain("SELECT 1").read_only
    assert plain("SHOW TABLES").read_only
    assert not plain("KILL QUERY WHERE 1").read_only
    assert not plain("WITH 1 AS x INSERT INTO t SELECT x").read_only
    assert not plain("OPTIMIZE TABLE t").read_only


@given(st.binary(max_size=200))
def test_tokens_never_fail_overlap_or_go_backwards(text: bytes) -> None:
    at = 0
    for token in tokens(text):
        assert at <= token.start < token.end <= len(text)
        at = token.end


@given(st.binary(max_size=300))
def test_the_data_of_an_insert_is_never_looked_at(data: bytes) -> None:
    head = b"INSERT INTO t (a) FORMAT Native\n"
    assert insert(head + data).data_start >= len(head) - 1
    assert insert(head + data).format == "Native"
