"""The benchmark's report on a scale that tells nothing about speed: its shape, and that it lies nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench import report
from tests.bench.chart import Panel, chart_of, draw
from tests.bench.measure import Measurement
from tests.bench.report import Latencies, Report, percentile
from tests.support.charts import draw_report

ROWS = 100_000
FIGURES = {"seconds", "rows_per_second", "cpu_seconds", "rows_per_cpu_second", "peak_rss_mib", "bytes_written"}


def measured(seconds: float) -> Measurement:
    return Measurement(seconds=seconds, rows=1000, bytes_written=10, peak_rss_mib=1.5, cpu={"a": 1.0, "b": 0.25})


def test_ratios_are_throughputs_and_only_of_paths_that_ran() -> None:
    found = Report(rows=1000, source_bytes=1, notes={})
    found.paths = {report.STREAM: measured(2.0), report.ARROW_CEILING: measured(1.0)}
    found.absent = {report.JDBC: "no driver"}
    assert found.ratios() == {"stream_vs_arrow_ceiling": 0.5}
    document = found.document()
    assert set(document) == {"rows", "paths", "ratios", "tick_ms"}
    assert document["paths"] == {
        name: {
            "seconds": seconds,
            "rows_per_second": 1000 / seconds,
            "cpu_seconds": 1.25,
            "rows_per_cpu_second": 800,
            "peak_rss_mib": 2,
            "bytes_written": 10,
        }
        for name, seconds in ((report.STREAM, 2.0), (report.ARROW_CEILING, 1.0))
    }


def test_percentiles_are_interpolated() -> None:
    found = Report(rows=1, source_bytes=1, notes={}, latencies=Latencies(small=range(101), idle=[4.0, 2.0, 3.0]))
    assert found.document()["tick_ms"] == {"p50": 50.0, "p99": 99.0, "idle_p50": 3.0}
    assert percentile([1.0, 2.0], 50) == 1.5


def test_the_chart_has_a_bar_for_each_path_and_escapes_what_it_writes() -> None:
    drawn = draw("a < b", [Panel(heading="speed", unit="rows/s", values={"one": 1.0, "two": 2.0})], ["two"])
    svg = ET.fromstring(drawn)  # noqa: S314 - drawn above
    bars = [one for one in svg.iter("{http://www.w3.org/2000/svg}rect") if one.get("rx")]
    assert [bar.get("width") for bar in bars] == ["460.0", "230.0"]
    assert svg.findtext("{http://www.w3.org/2000/svg}title") == "a < b"


def test_the_chart_of_a_report_shows_rows_per_second_and_per_cpu_second(tmp_path: Path) -> None:
    found = Report(rows=1000, source_bytes=1, notes={})
    found.paths = {report.STREAM: measured(2.0), report.ARROW_CEILING: measured(1.0)}
    found.write(tmp_path / "report.json")

    assert draw_report([str(tmp_path / "report.json"), str(tmp_path / "chart.svg")], chart_of) == 0

    drawn = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    assert drawn == chart_of(found.document())
    assert [drawn.count(text) for text in (">500 rows/s<", ">1,000 rows/s<", ">800 rows/CPU s<")] == [1, 1, 2]


def test_the_readme_shows_the_chart_of_the_report_beside_it_and_its_figures() -> None:
    images = Path(__file__).resolve().parents[2] / "docs" / "images"
    document = json.loads((images / "bench.json").read_text(encoding="utf-8"))
    assert (images / "bench.svg").read_text(encoding="utf-8") == chart_of(document)
    readme = (images.parents[1] / "README.md").read_text(encoding="utf-8")
    assert "docs/images/bench.svg" in readme
    for name in (report.STREAM, report.EXPORT, report.JDBC):
        assert f"{document['paths'][name]['rows_per_cpu_second']:,}" in readme, name


WITHOUT_SPARK_PROGRAMS = {
    report.PARQUET_CEILING,
    report.ARROW_CEILING,
    report.CLICKHOUSE_ICEBERG,
    report.STREAM,
}


@pytest.mark.thorough
@pytest.mark.spark
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(WITHOUT_SPARK_PROGRAMS, id="without Spark's own programs"),
        pytest.param({*WITHOUT_SPARK_PROGRAMS, report.EXPORT, report.JDBC, report.MAP_IN_ARROW}, id="all"),
    ],
)
def test_a_small_run_reports_every_path_that_can_run(tmp_path: Path, asked: set[str]) -> None:
    command = [sys.executable, "-m", "tests.bench", "--rows", str(ROWS), "--rounds", "1", "--ticks", "3"]
    command += ["--paths", *sorted(asked)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, check=False, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    details = json.loads((tmp_path / "details.json").read_text(encoding="utf-8"))
    assert document["rows"] == ROWS
    assert {*document["paths"], *details["absent"]} == asked
    assert not document["paths"].keys() & details["absent"].keys()
    paths: Mapping[str, Mapping[str, float]] = document["paths"]
    assert {report.STREAM, report.ARROW_CEILING, report.PARQUET_CEILING} <= paths.keys(), details["absent"]
    for name, figures in paths.items():
        assert set(figures) == FIGURES, name
        assert (figures["bytes_written"] > 0) == (name != report.ARROW_CEILING), name
        assert figures["seconds"] > 0, name
        assert figures["cpu_seconds"] > 0, name
    assert set(document["tick_ms"]) == {"p50", "p99", "idle_p50"}
    assert f"--rows {ROWS}" in done.stdout
    ET.fromstring((tmp_path / "chart.svg").read_text(encoding="utf-8"))  # noqa: S314 - our own program's
