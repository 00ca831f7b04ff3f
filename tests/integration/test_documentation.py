"""What the how-to pages show is accepted by the product as it stands there."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

from consumer.settings.load import load
from consumer.settings.model import Configuration
from tests.support.command_words import understand

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {"cli.md", "configuration.md", "errors.md", "metrics.md"}
RUN_BY = {
    "CONTRIBUTING.md": "tests/e2e/test_readme.py",
    "README.md": "tests/e2e/test_readme.py",
    "docs/how-to/adopt-a-table.md": "tests/integration/cli/test_adopt.py",
    "docs/how-to/audit.md": "tests/integration/cli/test_audit.py",
    "docs/how-to/backfill.md": "tests/integration/cli/test_backfill.py",
    "docs/how-to/change-a-schema.md": "tests/integration/cli/test_change_a_schema.py",
    "docs/how-to/choose-a-mode.md": "tests/integration/cli/test_modes_page.py",
    "docs/how-to/compact-small-files.md": "tests/integration/cli/test_maintain.py",
    "docs/how-to/check-a-setup.md": "tests/integration/cli/test_own_tables_pages.py",
    "docs/how-to/deploy-on-kubernetes.md": "tests/unit/ops/test_helm_chart.py",
    "docs/how-to/drop-from-the-hot-tier.md": "tests/integration/cli/test_drop_hot.py",
    "docs/how-to/upgrade.md": "tests/integration/cli/test_upgrade_page.py",
    "docs/how-to/get-notified.md": "tests/integration/test_get_notified_page.py",
    "docs/how-to/let-clickhouse-emit.md": "tests/integration/cli/test_clickhouse_events.py",
    "docs/how-to/encrypt-and-authenticate.md": "tests/integration/cli/test_secured_servers.py",
    "docs/how-to/lay-out-the-files.md": "tests/integration/test_file_layout.py",
    "docs/how-to/least-privilege.md": "tests/integration/cli/test_secured_servers.py",
    "docs/how-to/follow-a-trace.md": "tests/e2e/test_traces.py",
    "docs/how-to/handle-dead-letters.md": "tests/integration/cli/test_dlq.py",
    "docs/reference/types.md": "tests/integration/test_every_type.py",
    "docs/explanation/scaling.md": "tests/bench/test_cost_model.py",
    "docs/explanation/security.md": "tests/e2e/test_secrets.py",
    "docs/explanation/threat-model.md": "tests/integration/cli/test_actions.py",
    "docs/how-to/move-from-antalya-exports.md": "tests/integration/cli/test_move_pages.py",
    "docs/how-to/move-from-clickhouse-backups.md": "tests/integration/cli/test_move_pages.py",
    "docs/how-to/move-from-kafka-connect.md": "tests/integration/cli/test_move_pages.py",
    "docs/how-to/move-from-a-spark-submit-script.md": "tests/integration/cli/test_offload_command.py",
    "docs/how-to/query-both-tiers.md": "tests/integration/cli/test_both_tiers_pages.py",
    "docs/how-to/query-the-cold-tier.md": "tests/integration/test_readers.py",
    "docs/how-to/pause-a-stream.md": "tests/integration/cli/test_repair.py",
    "docs/how-to/repair-a-stream.md": "tests/integration/cli/test_repair.py",
    "docs/how-to/replay-a-stretch-of-time.md": "tests/integration/cli/test_repair.py",
    "docs/how-to/rename-move-remove.md": "tests/integration/cli/test_stream.py",
    "docs/how-to/read-a-cluster.md": "tests/integration/test_clusters.py",
    "docs/how-to/recover-from-a-disaster.md": "tests/integration/cli/test_recover.py",
    "docs/how-to/recover-lost-offsets.md": "tests/faults/test_offset_pages.py",
    "docs/how-to/replay-by-offset-reset.md": "tests/faults/test_offset_pages.py",
    "docs/how-to/restore.md": "tests/integration/cli/test_restore.py",
    "docs/how-to/replace-changed-rows.md": "tests/integration/cli/test_replace.py",
    "docs/how-to/remove-unreferenced-files.md": "tests/integration/cli/test_removal.py",
    "docs/how-to/rewind.md": "tests/integration/cli/test_rewind.py",
    "docs/how-to/run-several-consumers.md": "tests/e2e/test_operation_pages.py",
    "docs/how-to/run-under-systemd.md": "tests/unit/ops/test_systemd_units.py",
    "docs/how-to/schedule-with-prefect.md": "tests/e2e/test_prefect.py",
    "docs/how-to/schedule.md": "tests/e2e/test_operation_pages.py",
    "docs/how-to/send-your-own-events.md": "tests/integration/cli/test_own_events.py",
    "docs/how-to/share-a-spark-connect-server.md": "tests/integration/test_spark_connect.py",
    "docs/how-to/start-with-your-own-tables.md": "tests/integration/cli/test_own_tables_pages.py",
    "docs/how-to/survive-full-disks-and-storms.md": "tests/integration/cli/test_full_disks_page.py",
    "docs/how-to/take-a-consistent-cut.md": "tests/integration/cli/test_both_tiers_pages.py",
    "docs/how-to/use-the-console.md": "tests/e2e/test_operation_pages.py",
    "docs/how-to/use-a-rest-catalog.md": "tests/integration/cli/test_rest_catalog.py",
    "docs/how-to/use-a-spark-cluster.md": "tests/integration/test_spark_cluster.py",
    "docs/how-to/verify.md": "tests/integration/cli/test_verify.py",
    "docs/how-to/watch-it-with-prometheus-and-grafana.md": "tests/integration/test_monitoring_page.py",
    "docs/how-to/choose-a-writer.md": "tests/integration/cli/test_secured_servers.py",
    "docs/reference/crash-matrix.md": "tests/unit/entrypoints/test_failpoints_command.py",
    "docs/reference/log-events.md": "tests/unit/test_log_events_page.py",
    "docs/runbooks/consumer-group-trouble.md": "tests/integration/cli/runbooks/test_consumer_group.py",
    "docs/runbooks/data-consistency-audit.md": "tests/integration/cli/runbooks/test_data_consistency.py",
    "docs/runbooks/dead-letters.md": "tests/integration/cli/runbooks/test_dead_letters.py",
    "docs/runbooks/iceberg-compaction.md": "tests/integration/cli/runbooks/test_iceberg_compaction.py",
    "docs/runbooks/offload-failure-recovery.md": "tests/integration/cli/runbooks/test_offload_failure.py",
    "docs/runbooks/performance-troubleshooting.md": "tests/integration/cli/runbooks/test_performance.py",
    "docs/runbooks/restore-and-disaster-recovery.md": "tests/integration/cli/runbooks/test_restore_and_disaster.py",
    "docs/runbooks/retention-at-risk.md": "tests/integration/cli/runbooks/test_retention_at_risk.py",
    "docs/runbooks/schema-change.md": "tests/integration/cli/runbooks/test_schema_change.py",
    "docs/runbooks/upgrade-and-rollback.md": "tests/integration/cli/runbooks/test_upgrade.py",
    "docs/runbooks/watermark-management.md": "tests/integration/cli/runbooks/test_watermark.py",
    "docs/tutorial/first-offload.md": "tests/e2e/test_tutorial.py",
    "docs/tutorial/day-2.md": "tests/integration/cli/test_second_day.py",
}
"""Which test runs what a page shows."""
OTHER_VARIABLES = {"ICEHAUL_CONFIG", "ICEHAUL_FAILPOINTS", "ICEHAUL_SECRETS_DIR"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def command_of(line: str) -> list[str]:
    """The words of a command, without what its shell is told besides."""
    return list(takewhile(lambda word: word not in {"<", ">", "2>&1", "|", "&", ";"}, shlex.split(line, comments=True)))


COMMANDS = [
    pytest.param(command_of(line), id=f"{page.stem}: {line.split('#')[0].strip()}")
    for page in PAGES
    if page.name not in GENERATED
    for block in blocks(page, "bash")
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip().startswith("icehaul ")
]
CONFIGURATIONS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "yaml"))
]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_that_a_page_shows_is_understood(words: list[str]) -> None:
    understand(words)


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_every_configuration_that_a_page_shows_is_accepted(text: str, tmp_path: Path) -> None:
    document = yaml.safe_load(text)
    if not isinstance(document, dict) or not document.keys() & {
        "spark",
        "streams",
        "clickhouse",
        "kafka",
        "consumer",
        "emitter",
    }:
        pytest.skip("no configuration of icehaul")
    path = tmp_path / "icehaul.yaml"
    path.write_text(text, encoding="utf-8")
    load(path)


def test_a_test_runs_what_each_page_shows() -> None:
    showing = {
        str(page.relative_to(ROOT))
        for page in [ROOT / "CONTRIBUTING.md", *PAGES]
        if page.name not in GENERATED and re.search(r"^```[a-z]", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert showing == RUN_BY.keys()
    for page, test in RUN_BY.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8"), f"{test} does not read {page}"


def test_every_variable_that_a_page_names_is_one_of_the_configuration() -> None:
    fields = {
        f"ICEHAUL_{section}__{field}".upper()
        for section, model in Configuration.model_fields.items()
        for field in getattr(model.annotation, "model_fields", {})
    }
    assert "ICEHAUL_STORE__SECRET_KEY" in fields
    named = {
        (str(page.relative_to(ROOT)), name)
        for page in PAGES
        if page.name not in GENERATED
        for name in re.findall(r"\bICEHAUL_[A-Z0-9_]+", page.read_text(encoding="utf-8"))
    }
    assert {pair for pair in named if pair[1] not in fields | OTHER_VARIABLES and not pair[1].endswith("_")} == set()
