"""External data: temporary tables that come as files of a multipart form and live for one query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage, Message
from email.parser import BytesFeedParser
from email.policy import HTTP

from consumer.embedded.clickhouse.engine import Handle, quote, quote_name
from consumer.embedded.clickhouse.errors import ErrorCode, QueryError
from consumer.embedded.clickhouse.spool import Spool

_FORMAT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalTable:
    """One external table; ``structure`` is a list of columns as in CREATE TABLE."""

    name: str
    structure: str
    format: str
    data: bytes

    @contextmanager
    def loaded(self, handle: Handle, spool: Spool) -> Iterator[None]:
        """Have the table on a handle.

        Raises:
            QueryError: if structure, format and data do not fit together.
        """
        table = quote_name(self.name)
        handle.run(f"CREATE TEMPORARY TABLE {table} ({self.structure})")
        try:
            with spool.path() as path:
                path.write_bytes(self.data)
                source = f"FROM INFILE {quote(str(path))} COMPRESSION 'none'"
                handle.run(f"INSERT INTO {table} {source} FORMAT {self.format}")
            yield
        finally:
            handle.run(f"DROP TEMPORARY TABLE {table}")


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart form: plain fields and files by field name."""

    fields: dict[str, bytes]
    files: dict[str, bytes]


def read_form(headers: Message, body: bytes) -> Form:
    """Read a body of the type multipart/form-data.

    Raises:
        QueryError: BAD_ARGUMENTS if it is no such form.
    """
    parser = BytesFeedParser(EmailMessage, policy=HTTP)
    parser.feed(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode())
    parser.feed(body)
    message = parser.close()
    if not message.is_multipart() or message.defects:
        raise QueryError("The multipart form in the body cannot be read", code=ErrorCode.BAD_ARGUMENTS)
    form = Form({}, {})
    for part in message.iter_parts():
        name = part.get_param("name", header="Content-Disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            target = form.fields if part.get_filename() is None else form.files
            target[name] = payload
    return form


def external_tables(files: dict[str, bytes], described: dict[str, str]) -> list[ExternalTable]:
    """The form's files with the fields that describe them.

    Raises:
        QueryError: BAD_ARGUMENTS if a description is missing or malformed.
    """
    tables: list[ExternalTable] = []
    for name, data in files.items():
        types = described.get(f"{name}_types")
        numbered = None if types is None else ", ".join(f"_{n} {t}" for n, t in enumerate(_split(types), start=1))
        structure = described.get(f"{name}_structure", numbered)
        format_name = described.get(f"{name}_format", "TabSeparated")
        if not structure or not _FORMAT_NAME.match(format_name):
            raise QueryError(
                f"External table {name!r} needs {name}_structure or {name}_types, and a format name as {name}_format",
                code=ErrorCode.BAD_ARGUMENTS,
            )
        tables.append(ExternalTable(name=name, structure=structure, format=format_name, data=data))
    return tables


def _split(types: str) -> list[str]:
    """Split a list of types at the commas outside brackets."""
    parts, depth = [""], 0
    for character in types:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
