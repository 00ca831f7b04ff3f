from __future__ import annotations

import os
from pathlib import Path

import pytest

from consumer.adapters.telemetry.disks import space
from consumer.adapters.telemetry.metrics import PrometheusMetrics


def test_a_directory_that_is_not_there_yet_has_the_space_of_the_one_above(tmp_path: Path) -> None:
    found, above = space(tmp_path / "not" / "yet"), space(tmp_path)
    assert found is not None
    assert above is not None
    assert found.size == above.size > 0
    assert 0 <= found.free <= found.size


def test_a_file_system_that_does_not_answer_leaves_the_scrape_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: object) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", fail)
    metrics = PrometheusMetrics()
    metrics.at_scrape(lambda: metrics.disks({"temporary": tmp_path}))
    body, _ = metrics.render()
    assert b"icehaul_disk_free_bytes{" not in body
