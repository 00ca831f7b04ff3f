"""`icehaul offload`: one stream, once, without Kafka, and without a configuration file."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.text import Text

from consumer.bootstrap import Application
from consumer.domain.batch import BatchStatus
from consumer.domain.errors import ConfigurationError, RetriesExhaustedError
from consumer.domain.event_factory import tick
from consumer.domain.phrasing import counted
from consumer.domain.stream import Layer, Stream, TableName
from consumer.domain.window import PartitionBy
from consumer.entrypoints.cli.arguments import parse_instant
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.options import ConfigOption, OutputOption
from consumer.entrypoints.cli.output import Format, emit, instant, messages, size, span
from consumer.ports import BatchRecord
from consumer.service.takeover import Takeover
from consumer.settings.load import load_or_environment
from consumer.settings.model import Configuration, StreamSettings

_OPTIONS = {
    "name": "--stream",
    "source": "--source-table",
    "target": "--target-table",
    "timestamp_column": "--timestamp-col",
    "sequence_columns": "--sequence-col",
    "settle_lag": "--settle-lag",
    "layer": "--layer",
    "partition_by": "--partition-by",
}
_MOST_BATCHES = 100_000
_AGAIN = "run the same command again: it goes on from the watermark, and nothing is offloaded twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    stream: Stream
    watermark: datetime
    taken_over: Takeover | None
    batches: Sequence[BatchRecord]

    @property
    def rows(self) -> int:
        return sum(batch.rows for batch in self.batches)


def offload(
    *,
    source_table: Annotated[str, typer.Option(help="ClickHouse table.", metavar="DATABASE.TABLE")],
    target_table: Annotated[
        str, typer.Option(help="Iceberg table; made if it does not exist.", metavar="NAMESPACE.TABLE")
    ],
    timestamp_col: Annotated[str, typer.Option(help="Time column of the source.", metavar="COLUMN")],
    sequence_col: Annotated[
        list[str] | None, typer.Option(help="Column that orders rows of one instant; repeatable.", metavar="COLUMN")
    ] = None,
    layer: Annotated[Layer, typer.Option(help="Layer of the lake.")] = Layer.BRONZE,
    partition_by: Annotated[PartitionBy, typer.Option(help="Partition transform of the target.")] = PartitionBy.DAY,
    settle_lag: Annotated[
        str | None,
        typer.Option(help="How late rows may arrive; younger ones are not read.", metavar="SPAN", show_default="5m"),
    ] = None,
    until: Annotated[
        str,
        typer.Option(
            help="Offload rows before this instant: now, or ISO 8601 (UTC without an offset).", metavar="TIME"
        ),
    ] = "now",
    stream: Annotated[
        str | None,
        typer.Option(help="Name in the ledger.", metavar="NAME", show_default="NAMESPACE_TABLE of the target"),
    ] = None,
    take_over_watermark: Annotated[
        str | None,
        typer.Option(
            help="The existing target, filled by something else, holds every source row before this instant: checked"
            " by count and digest, then gone on from.",
            metavar="TIME",
        ),
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Offload one table once, up to now or to an instant, and end; needs neither Kafka nor a configuration file.

    Connections come from the environment (ICEHAUL_CLICKHOUSE__HOST, …) and the configuration, if there is one.
    Running it again goes on from the watermark in the ledger. Exit code 3 if a server can't be used or another
    process works on the stream, 4 if an operator has to act; nothing is lost, and nothing offloaded twice, in any case.
    """
    asked = _settings(
        {
            "name": stream,
            "source": source_table,
            "target": target_table,
            "timestamp_column": timestamp_col,
            "sequence_columns": tuple(sequence_col or ()),
            "layer": layer,
            "partition_by": partition_by,
            **({"settle_lag": settle_lag} if settle_lag is not None else {}),
        }
    )
    limit = parse_instant("--until", until)
    former = parse_instant("--take-over-watermark", take_over_watermark) if take_over_watermark is not None else None
    if take_over_watermark is not None and former is None:
        raise ConfigurationError(
            "--take-over-watermark: 'now' is no watermark", remedy="name the instant at which the former writer stopped"
        )
    with Application(_with_stream(load_or_environment(config), asked)) as application:
        tracing = application.observe("offload")
        with tracing.tracer.start_as_current_span("offload.once"):
            outcome = _run(application, application.streams[asked.name], limit, former)
    emit(output, text=_text(outcome), data=_data(outcome))


def _settings(values: Mapping[str, Any]) -> StreamSettings:
    try:
        target = TableName.parse(values["target"])
        name = values["name"] or f"{target.database}_{target.table}"
        return StreamSettings.model_validate({**values, "name": name})
    except ValidationError as error:
        problems = [
            f"{_OPTIONS.get(str(detail['loc'][0]), detail['loc'][0])} {detail['input']!r}:"
            f" {detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors(include_url=False)
        ]
        raise ConfigurationError(
            "; ".join(problems), remedy="correct the option; see: icehaul offload --help"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"--target-table: {error}", remedy="write it as namespace.table") from None


def _with_stream(configuration: Configuration, asked: StreamSettings) -> Configuration:
    """Add the stream to the configuration; one that is configured already stays as it is, if it says the same."""
    for known in configuration.streams:
        if known.name == asked.name:
            given = [field for field in _OPTIONS if field in asked.model_fields_set]
            differing = [field for field in given if getattr(known, field) != getattr(asked, field)]
            if differing:
                raise ConfigurationError(
                    f"the stream {asked.name!r} is configured, with another {', '.join(differing)}",
                    remedy="give the options the configured values"
                    f" ({', '.join(f'{_OPTIONS[field]}: {_shown(getattr(known, field))}' for field in differing)}),"
                    " or name another stream with --stream and another target",
                )
            return configuration
        if known.target == asked.target:
            raise ConfigurationError(
                f"--target-table: the configured stream {known.name!r} writes to {known.target}",
                remedy=f"give --stream {known.name}, or another target: one table is written by one stream",
            )
    return configuration.model_copy(update={"streams": (*configuration.streams, asked)})


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _run(application: Application, stream: Stream, until: datetime | None, former: datetime | None) -> _Outcome:
    if missing := application.pending_migrations():
        names = ", ".join(map(str, missing))
        messages().print(f"making the tables of the ledger in Postgres: {names}", markup=False, highlight=False)
        application.migrate()
    taken_over = application.takeovers.take_over(stream, former) if former is not None else None
    before = application.ledger.register(stream.name, stream.begins).watermark
    boundary = application.source.now() if until is None else until
    held = f"wait for the other process; one that was killed is forgotten after {application.lease}; {_AGAIN}"
    try:
        with told_when_held(held):
            application.offload.run(tick(stream=stream.name, boundary=boundary), threading.Event())
    except RetriesExhaustedError as error:
        raise RetriesExhaustedError(error.message, remedy=f"mend the cause; {_AGAIN}") from error
    batches = [
        batch
        for batch in application.ledger.batches(stream.name, _MOST_BATCHES)
        if batch.status is BatchStatus.PUBLISHED and batch.window.lower >= before
    ]
    return _Outcome(
        stream=stream,
        watermark=application.ledger.read([stream.name])[stream.name].watermark,
        taken_over=taken_over,
        batches=batches[::-1],
    )


def _text(outcome: _Outcome) -> RenderableType:
    stream, lines = outcome.stream, []
    if outcome.taken_over is not None:
        until, rows = instant(outcome.taken_over.watermark), outcome.taken_over.rows.rows
        lines.append(f"took over the watermark {until}: both tiers hold the same {counted(rows, 'row')} below it")
    lines += [
        f"{span(batch.window)}: {counted(batch.rows, 'row')}, {size(batch.bytes)}, snapshot {batch.snapshot_id}"
        for batch in outcome.batches
    ]
    done = "nothing new"
    if outcome.batches:
        done = f"{counted(outcome.rows, 'row')} in {counted(len(outcome.batches), 'batch', 'batches')}"
    lines.append(f"{stream.name}: {stream.source} → {stream.target}: {done}; watermark {instant(outcome.watermark)}")
    return Group(*(Text(line) for line in lines))


def _data(outcome: _Outcome) -> dict[str, Any]:
    return {
        "stream": outcome.stream.name,
        "source": str(outcome.stream.source),
        "target": str(outcome.stream.target),
        "watermark": outcome.watermark,
        "taken_over_rows": outcome.taken_over.rows.rows if outcome.taken_over is not None else None,
        "rows": outcome.rows,
        "batches": [
            {
                "batch_id": batch.batch_id,
                "lower": batch.window.lower,
                "upper": batch.window.upper,
                "rows": batch.rows,
                "bytes": batch.bytes,
                "digest": batch.digest,
                "snapshot_id": batch.snapshot_id,
            }
            for batch in outcome.batches
        ],
    }
