"""What the benchmark of memory concludes from its runs; a run itself takes minutes."""

from __future__ import annotations

from tests.bench.large import Run, peak_ratios, room_for
from tests.bench.measure import Measurement


def run(writer: str, rows: int, peak_mib: float) -> Run:
    measured = Measurement(seconds=2.0, rows=rows, bytes_written=10, peak_rss_mib=0.0, cpu={"a": 1.0, "b": 3.0})
    return Run(writer=writer, measured=measured, peak_mib=peak_mib)


def test_peaks_at_the_most_rows_are_divided_by_those_at_the_fewest_for_each_writer() -> None:
    runs = [run("stream", 100, 1100.0), run("export", 1, 500.0), run("stream", 1, 1000.0), run("export", 100, 450.0)]
    assert peak_ratios(runs) == {"stream": 1.1, "export": 0.9}
    assert runs[0].document()["rows_per_cpu_second"] == 25


def test_a_size_that_the_disk_has_no_room_for_is_left_out() -> None:
    assert room_for(1_000_000, 10 * 1024**3)
    assert not room_for(100_000_000, 20 * 1024**3)
