"""`icehaul init`: draft a configuration from a live ClickHouse database."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError

from consumer.adapters.clickhouse.introspection import ClickHouseIntrospection
from consumer.domain.duration import format_duration
from consumer.domain.errors import ConfigurationError
from consumer.domain.phrasing import counted
from consumer.domain.stream import TableName
from consumer.entrypoints.cli.config import schema_text
from consumer.entrypoints.cli.options import ConfigOption
from consumer.entrypoints.cli.output import messages
from consumer.entrypoints.cli.terminal import TerminalAsk
from consumer.service.starter.document import SCHEMA_FILE, render
from consumer.service.starter.draft import Names, Skipped, StreamDraft, Surroundings, draft_stream, why_skipped
from consumer.service.starter.interview import Ask, ask_settle_lag, ask_target, ask_time_column
from consumer.service.starter.time_column import time_columns
from consumer.settings.connections import ClickHouseSettings
from consumer.settings.load import DEFAULT_FILE, find_file, load
from consumer.settings.model import Configuration

_STDOUT = Path("-")
_SHOWN: Mapping[str, tuple[str, ...]] = {
    "clickhouse": ("host", "port", "user"),
    "kafka": ("bootstrap_servers",),
    "store": ("endpoint", "region", "bucket", "prefix", "access_key"),
}
"""Fields that a new user has to set; of others, those that differ from their defaults are written too."""
_SECRET = frozenset({"password", "dsn", "secret_key", "store_secret_key", "secret_options"})


def init(  # noqa: PLR0917 - typer calls it by names
    database: Annotated[str, typer.Option("--database", "-d", help="ClickHouse database to look at.")] = "default",
    host: Annotated[str | None, typer.Option(help="ClickHouse host, if not the configured one.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of its HTTP interface.")] = None,
    user: Annotated[str | None, typer.Option(help="ClickHouse user.")] = None,
    secure: Annotated[bool | None, typer.Option("--secure/--no-secure", help="Speak TLS.", show_default=False)] = None,
    file: Annotated[
        Path, typer.Option("--file", "-f", help="File to write; - is standard output.", metavar="FILE")
    ] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Ask where a guess is unsure (on a terminal only).")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Look at a live ClickHouse database, and write a commented configuration with a stream for each table.

    The password comes from ICEHAUL_CLICKHOUSE__PASSWORD, an existing configuration, or a question on a terminal.
    Nothing is changed on the server. Beside the file stands its JSON Schema, by which editors complete and check it.
    """
    if file != _STDOUT and file.exists() and not force:
        raise ConfigurationError(f"--file: {file} exists already", remedy="name another file, or give --force")
    base = _base(config)
    server = _server(base.clickhouse, host=host, port=port, user=user, secure=secure)
    ask: Ask | None = TerminalAsk() if interactive and sys.stdin.isatty() else None
    if interactive and ask is None:
        _say("standard input is no terminal: nothing is asked")
    drafts, skipped = _look(server, database, ask)
    longest = max((one.settle_lag for one in drafts if not one.obstacles), default=timedelta(0))
    text = render(_sections(base.model_copy(update={"clickhouse": server}), longest), drafts, skipped)
    if file == _STDOUT:
        typer.echo(text, nl=False)
    else:
        _write(file, text)
        _write(file.with_name(SCHEMA_FILE), schema_text())
    _report(file, drafts, skipped)


def _base(config: Path | None) -> Configuration:
    """Return the configuration whose connections are used: of the file where there is one, and the environment."""
    there = config is not None or find_file(None, os.environ).exists()
    return load(config) if there else load(Path(os.devnull))


def _server(configured: ClickHouseSettings, **given: str | int | bool | None) -> ClickHouseSettings:
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not configured.password.get_secret_value() and sys.stdin.isatty():
        changes["password"] = SecretStr(
            typer.prompt(
                "ClickHouse password (empty for none)", hide_input=True, default="", show_default=False, err=True
            )
        )
    try:
        return ClickHouseSettings.model_validate({**configured.model_dump(), **changes})
    except ValidationError as error:
        raise ConfigurationError(
            f"--{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}", remedy="correct the option"
        ) from None


def _look(
    server: ClickHouseSettings, database: str, ask: Ask | None
) -> tuple[Sequence[StreamDraft], Sequence[Skipped]]:
    look = ClickHouseIntrospection(server)
    try:
        facts = look.server()
        around = Surroundings(now=facts.now, server_zone=facts.time_zone)
        tables = look.tables(database)
        if ask is not None:
            around = replace(around, settle_lag=ask_settle_lag(ask, around.settle_lag))
        drafts: list[StreamDraft] = []
        skipped: list[Skipped] = []
        names = Names()
        for table in tables:
            if (reason := why_skipped(table)) is not None:
                skipped.append(Skipped(name=f"{table.database}.{table.table}", reason=reason))
                continue
            ranges = look.ranges(TableName(database=table.database, table=table.table), time_columns(table))
            draft = draft_stream(table, ranges, around, names)
            drafts.append(_asked(ask, draft, around, names) if ask is not None else draft)
        return drafts, skipped
    finally:
        look.close()


def _asked(ask: Ask, draft: StreamDraft, around: Surroundings, names: Names) -> StreamDraft:
    return ask_target(ask, ask_time_column(ask, draft, around), names)


def _sections(configuration: Configuration, longest_lag: timedelta) -> Mapping[str, Mapping[str, Any]]:
    """Return the connections without secrets: what a new user has to look at, and what differs from the defaults."""
    defaults = Configuration().model_dump()
    values = configuration.model_dump(exclude={"streams"})
    # A partition must not count as closed while its rows may still arrive.
    values["emitter"]["grace"] = max(values["emitter"]["grace"], longest_lag)
    found: dict[str, dict[str, Any]] = {}
    for name, fields in values.items():
        shown = {
            field: format_duration(value) if isinstance(value, timedelta) else value
            for field, value in fields.items()
            if field not in _SECRET
            and value is not None
            and (field in _SHOWN.get(name, ()) or value != defaults[name][field])
        }
        if shown:
            found[name] = shown
    return found


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"--file: {file} can't be written: {error.strerror or error}", remedy="name a file in a folder of yours"
        ) from None


def _report(file: Path, drafts: Sequence[StreamDraft], skipped: Sequence[Skipped]) -> None:
    ready = [one for one in drafts if not one.obstacles]
    blocked = [one for one in drafts if one.obstacles]
    for draft in drafts:
        for text in (*draft.obstacles, *draft.warnings):
            _say(f"{draft.source}: {text}")
    where = "standard output" if file == _STDOUT else f"{file} (and beside it {SCHEMA_FILE}, for editors)"
    after = "uncomment what you agree with, then: icehaul doctor" if blocked and not ready else "icehaul doctor"
    _say(
        f"wrote {where}: {counted(len(ready), 'stream')}, {len(blocked)} commented out,"
        f" {counted(len(skipped), 'table or view', 'tables or views')} left out; the reasons stand there. Next: {after}"
    )


def _say(text: str) -> None:
    messages().print(text, markup=False, highlight=False, soft_wrap=True)
