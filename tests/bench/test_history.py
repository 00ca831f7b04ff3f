"""The benchmarks of history on a scale that tells nothing about speed: what they count, what they divide by what."""

from __future__ import annotations

from pathlib import Path

from consumer.adapters.iceberg.store import StoreFileIO
from consumer.settings.connections import StoreSettings
from tests.bench.commits import measure
from tests.bench.history import Costs, ratios
from tests.bench.store_traffic import StoreTraffic, counting_store


def test_commits_of_both_ways_are_measured_after_ten_and_after_many(tmp_path: Path) -> None:
    found = measure(tmp_path, snapshots=14, measured=2, retain=3)
    assert set(found) == {"icehaul", "PyIceberg"}
    for figures in found.values():
        assert figures["ratio"] == figures["ms after 14"] / figures["ms after 10"]
        assert figures["dearest ms"] >= max(figures["ms after 14"], figures["ms after 10"]) > 0
    # 16 files: ten of them in one manifest here, each in its own there, where twenty are merged.
    assert (found["icehaul"]["manifests"], found["PyIceberg"]["manifests"]) == (7, 16)


def test_a_figure_that_the_young_stream_has_not_is_not_divided_by() -> None:
    assert ratios({"a": 3.0, "b": 1.0}, {"a": 2.0, "b": 0.0}) == {"a": 1.5}


def test_figures_are_means_of_one_batch() -> None:
    costs = Costs(commit_cpu=[0.001, 0.003], commit_wall=[0.002, 0.002], whole_cpu=[0.01, 0.02], whole_wall=[0.1, 0.2])
    costs.servers["postgres"] = 0.04
    costs.traffic.written = 10
    found = costs.figures()
    assert (found["commit, CPU ms"], found["commit, dearest, CPU ms"]) == (2.0, 3.0)
    assert (found["whole, postgres's CPU ms"], found["bytes written"]) == (20.0, 5.0)


def test_what_goes_through_the_store_is_counted_for_the_length_of_a_block(tmp_path: Path) -> None:
    io, path, traffic = StoreFileIO(StoreSettings(bucket="lake")), f"file://{tmp_path}/one", StoreTraffic()
    with counting_store(traffic):
        with io.new_output(path).create() as stream:
            stream.write(b"12345")
        with io.new_input(path).open() as stream:
            assert stream.read() == b"12345"
        io.delete(path)
    with io.new_output(path).create() as stream:
        stream.write(b"not counted")
    assert traffic.figures() == {
        "files read": 1,
        "bytes read": 5,
        "files written": 1,
        "bytes written": 5,
        "files removed": 1,
    }
