"""The reference page of metrics, made of their catalogue."""

from __future__ import annotations

from collections.abc import Iterator

from consumer.adapters.telemetry.catalogue import METRICS, Metric
from consumer.adapters.telemetry.labels import STREAM, Label

_PREAMBLE = """\
Consumers serve these on `/metrics` of `consumer.http_port`, emitters on that of `emitter.http_port` where one is
configured, as text or as OpenMetrics.
[Watch it with Prometheus and Grafana](../how-to/watch-it-with-prometheus-and-grafana.md) tells how to use them.

Each consumer measures where all streams stand, not only those that it works on: take the largest lag and the smallest
time to loss of all of them. What is counted is counted where it happened: take sums. A histogram `NAME` consists of
`NAME_bucket`, `NAME_sum` and `NAME_count`. Timestamps are seconds since 1970-01-01 UTC.

The values of every label are bounded: events can add no series. A stream that was removed or renamed loses its series
with the next look at the ledger (`consumer.loss_watch_seconds`).
"""
_TITLES = {"consumer": "Consumer", "emitter": "Emitter", None: "Both"}


def render() -> str:
    """Return the page below its title."""
    parts = [_PREAMBLE]
    for role, title in _TITLES.items():
        parts += [f"## {title}\n", "| metric | type | labels | unit | meaning |\n|---|---|---|---|---|"]
        parts += [_row(one) for one in METRICS if one.role == role]
        parts.append("")
    parts += ["## Labels\n", "| label | of | values |\n|---|---|---|", *_labels()]
    return "\n".join(parts) + "\n"


def _row(metric: Metric) -> str:
    names = ", ".join(f"`{label.name}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {names} | {metric.unit} | {metric.meaning} |"


def _labels() -> Iterator[str]:
    users: dict[Label, list[str]] = {}
    for metric in METRICS:
        for label in metric.labels:
            users.setdefault(label, []).append(f"`{metric.name}`")
    for label, metrics in sorted(users.items(), key=lambda item: item[0].name):
        most = f"; {label.limit:,} at most" if label.limit > 1 else ""
        of = "all of a stream" if label is STREAM else ", ".join(metrics)
        yield f"| `{label.name}` | {of} | {label.meaning}{most} |"
