"""How `icehaul status` looks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.duration import format_duration
from consumer.domain.lateness import LATENESS_STEPS
from consumer.domain.mode_rules import mode_meaning
from consumer.domain.phrasing import counted
from consumer.domain.proof import Proof
from consumer.domain.reconcile import Finding
from consumer.domain.retention import Outlook
from consumer.domain.stream import Mode
from consumer.domain.window import BEGINNING
from consumer.entrypoints.cli.history_view import history_lines, request_data
from consumer.entrypoints.cli.output import human, instant, size, span
from consumer.entrypoints.cli.records import Column, Records
from consumer.ports import BatchRecord, StreamState
from consumer.service.status import Activity, StreamStatus


def status_text(now: datetime, found: Sequence[StreamStatus], *, detailed: bool) -> RenderableType:
    """Return the overview, the reasons of halted streams and, in detail, the latest batches."""
    parts: list[RenderableType] = [_overview(now, found)]
    for one in found:
        if one.stream.mode is not Mode.APPEND:
            parts.append(Text(f"{one.stream.name}: mode {one.stream.mode}: {mode_meaning(one.stream.mode)}"))
        if one.record is not None and one.record.state is StreamState.HALTED:
            parts.append(Text(f"\n{one.stream.name} is halted: {one.record.halt_reason}", style="red"))
            parts.append(Text(f"  remedy: {one.record.halt_remedy}"))
        elif one.batches and one.batches[0].error is not None:
            parts.append(Text(f"{one.stream.name}: the last batch failed: {one.batches[0].error}", style="yellow"))
        parts += [_finding(one.stream.name, each) for each in one.findings]
        if one.runbook is not None:
            parts.append(Text(f"{one.stream.name}: runbook: docs/runbooks/{one.runbook}.md"))
        parts += history_lines(one)
        if detailed and any(one.lateness):
            parts.append(_lateness(one.lateness))
        if one.activity is not None:
            parts.append(_activity(one.stream.name, one.activity))
        if detailed and one.batches:
            parts.append(_batches(one.batches))
    return Group(*parts)


def _activity(stream: str, activity: Activity) -> Text:
    if activity.batch is None:
        return Text(f"{stream}: planned by {activity.owner} now", style="cyan")
    batch = activity.batch
    what = f"{span(batch.window)}, attempt {batch.attempts}, began {human(activity.age)} ago"
    if activity.live:
        return Text(f"{stream}: {what}, written by {activity.owner} now", style="cyan")
    return Text(f"{stream}: {what}, left by {activity.owner}; the next event goes on", style="yellow")


def _finding(stream: str, finding: Finding) -> Text:
    return Text(
        f"{stream}: {finding.kind}: {finding.detail}, in the window {span(finding.window)}; once you have looked at it:"
        f" icehaul resume {stream} --accept-findings",
        style="yellow",
    )


def _lateness(counts: Sequence[int]) -> Records:
    late = Records(
        "late rows, by how long after their timestamp they were found",
        [Column(name, right=True) for name in lateness_names()],
    )
    late.add(*(f"{count:,}" for count in counts))
    return late


def lateness_names() -> list[str]:
    """Return the names of the steps of the histogram: ``≤ 15m`` and so on, and the last one without a bound."""
    return [*(f"≤ {format_duration(step)}" for step in LATENESS_STEPS), f"> {format_duration(LATENESS_STEPS[-1])}"]


def _overview(now: datetime, found: Sequence[StreamStatus]) -> Records:
    overview = Records(
        f"{counted(len(found), 'stream')} at {instant(now.replace(microsecond=0))} UTC",
        [
            Column("stream"),
            Column("layer"),
            Column("state"),
            Column("watermark (UTC)"),
            Column("lag", right=True),
            Column("time to loss", right=True),
            Column("parked", right=True),
            Column("last batch"),
        ],
    )
    for one in found:
        state = one.record.state if one.record is not None else "new"
        overview.add(
            one.stream.name,
            one.stream.layer,
            Text(state, style="bold red" if state == StreamState.HALTED else "green"),
            instant(_watermark(one)),
            human(one.lag),
            _time_to_loss(one),
            str(one.parked),
            _brief(one.batches[0]) if one.batches else "-",
        )
    return overview


def _time_to_loss(one: StreamStatus) -> Text:
    """Say how long rows that were not offloaded are safe from the source's TTL."""
    outlook = one.outlook
    if outlook is None:
        return Text("unknown", style="yellow")
    if outlook.left is not None and outlook.within(one.stream.retention.margin):
        return Text(human(outlook.left), style="bold red")
    if outlook.unknown:
        return Text("unknown", style="yellow")
    return Text("never" if outlook.left is None else human(outlook.left))


def _batches(batches: Sequence[BatchRecord]) -> Records:
    failed = any(batch.error for batch in batches)
    columns = [
        Column("window (UTC)"),
        Column("kind"),
        Column("status"),
        Column("rows", right=True),
        Column("size", right=True),
        Column("tries", right=True),
        Column("snapshot", right=True),
        Column("started (UTC)"),
    ]
    latest = Records("latest batches", [*columns, Column("error", sentences=True)] if failed else columns)
    for batch in batches:
        latest.add(
            span(batch.window),
            batch.kind,
            batch.status,
            f"{batch.rows:,}",
            size(batch.bytes),
            str(batch.attempts),
            str(batch.snapshot_id or "-"),
            instant(batch.started.replace(microsecond=0)),
            *([batch.error or ""] if failed else []),
        )
    return latest


def _brief(batch: BatchRecord) -> str:
    return f"{batch.status}, {counted(batch.rows, 'row')}"


def _watermark(one: StreamStatus) -> datetime | None:
    if one.record is None or one.record.unread:
        return None
    return one.record.watermark


def status_data(now: datetime, found: Sequence[StreamStatus]) -> dict[str, Any]:
    """Return the same as plain data."""
    return {"server_time": now, "streams": [_stream_data(one) for one in found]}


def _stream_data(one: StreamStatus) -> dict[str, Any]:
    record = one.record
    return {
        "name": one.stream.name,
        "source": str(one.stream.source),
        "target": str(one.stream.target),
        "layer": one.stream.layer,
        "mode": one.stream.mode,
        "state": record.state if record is not None else "new",
        "watermark": _watermark(one),
        "lag_seconds": one.lag.total_seconds() if one.lag is not None else None,
        "time_to_loss": loss_data(one.outlook, one.stream.retention.margin),
        "epoch": record.epoch if record is not None else None,
        "generation": record.generation if record is not None else None,
        "owner": record.owner if record is not None else None,
        "halt_reason": record.halt_reason if record is not None else None,
        "halt_remedy": record.halt_remedy if record is not None else None,
        "runbook": one.runbook,
        "parked_events": one.parked,
        "start": None if one.record is None or one.record.start == BEGINNING else one.record.start,
        "backfills": [request_data(each) for each in one.backfills],
        "findings": [finding_data(each) for each in one.findings],
        "late_rows": dict(zip(lateness_names(), one.lateness, strict=True)),
        "now": activity_data(one.activity) if one.activity is not None else None,
        "batches": [batch_data(batch) for batch in one.batches],
    }


def loss_data(outlook: Outlook | None, margin: timedelta) -> dict[str, Any] | None:
    """Return a time to loss as plain data."""
    if outlook is None:
        return None
    return {
        "seconds": outlook.left.total_seconds() if outlook.left is not None else None,
        "at": outlook.at,
        "clause": outlook.clause,
        "unknown_clauses": list(outlook.unknown),
        "safe": outlook.safe,
        "in_danger": outlook.within(margin),
    }


def activity_data(activity: Activity) -> dict[str, Any]:
    """Return what is being done now as plain data."""
    return {
        "owner": activity.owner,
        "live": activity.live,
        "batch_id": activity.batch.batch_id if activity.batch is not None else None,
        "age_seconds": activity.age.total_seconds() if activity.age is not None else None,
    }


def finding_data(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain data."""
    return {
        "kind": finding.kind,
        "lower": finding.window.lower,
        "upper": finding.window.upper,
        "rows": finding.rows,
        "detail": finding.detail,
    }


def batch_data(batch: BatchRecord) -> dict[str, Any]:
    """Return a batch as plain data."""
    return {
        "batch_id": batch.batch_id,
        "kind": batch.kind,
        "lower": batch.window.lower,
        "upper": batch.window.upper,
        "generation": batch.generation,
        "status": batch.status,
        "rows": batch.rows,
        "bytes": batch.bytes,
        "digest": batch.digest,
        "proof": None if batch.proof is None else _proof_data(batch.proof),
        "snapshot_id": batch.snapshot_id,
        "attempts": batch.attempts,
        "error": batch.error,
        "trace_id": batch.trace_id,
        "started": batch.started,
        "ended": batch.ended,
    }


def _proof_data(proof: Proof) -> dict[str, Any]:
    return {
        "policy": proof.policy,
        "files": proof.files,
        "rows": proof.content.rows,
        "digest": proof.content.hex,
    }
