"""What Spark is started with."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import spark
from consumer.domain.errors import ConfigurationError
from spark.packages import code_digest, runs_here, zip_packages
from spark.properties import SessionSettings, session_properties
from spark.session import check_java
from spark.unit_task import SourceAccess, StoreAccess

LOG = Path("/tmp/log4j2.properties")  # noqa: S108 - only named, never opened

SCRATCH = Path("/var/scratch of mine")


def test_a_local_session_listens_on_loopback_only_and_shows_no_pages() -> None:
    properties = session_properties(SessionSettings(master="local[2]", driver_memory="512m"), LOG, scratch=SCRATCH)

    assert properties["spark.driver.host"] == properties["spark.driver.bindAddress"] == "127.0.0.1"
    assert properties["spark.ui.enabled"] == "false"
    assert properties["spark.scheduler.mode"] == "FAIR"
    assert properties["spark.sql.session.timeZone"] == "UTC"


def test_what_the_driver_needs_of_the_disk_goes_with_the_session() -> None:
    properties = session_properties(SessionSettings(master="local[2]", driver_memory="512m"), LOG, scratch=SCRATCH)

    assert properties["spark.local.dir"] == str(SCRATCH)
    assert f'-Djava.io.tmpdir="{SCRATCH}"' in properties["spark.driver.extraJavaOptions"]


def test_a_cluster_gets_neither_our_address_nor_our_daemon() -> None:
    properties = session_properties(SessionSettings(master="spark://m:7077", driver_memory="1g"), LOG, scratch=SCRATCH)

    assert "spark.driver.host" not in properties
    assert "spark.python.daemon.module" not in properties


def test_the_operators_properties_win_except_for_the_master() -> None:
    settings = SessionSettings(
        master="local[4]",
        driver_memory="512m",
        jars=("a.jar", "b.jar"),
        conf={"spark.ui.enabled": "true", "spark.master": "yarn"},
    )

    properties = session_properties(settings, LOG, scratch=SCRATCH)

    assert properties["spark.ui.enabled"] == "true"
    assert properties["spark.master"] == "local[4]"
    assert properties["spark.jars"] == "a.jar,b.jar"


@pytest.mark.parametrize("environment", [{"PATH": "/nowhere"}, {"JAVA_HOME": "/nowhere", "PATH": "/usr/bin"}])
def test_without_java_the_error_says_where_it_was_sought_and_what_to_do(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_java(environment)

    assert "Java 17 or 21" in caught.value.remedy


def test_java_is_found_by_its_home(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.touch(mode=0o755)

    check_java({"JAVA_HOME": str(tmp_path), "PATH": "/nowhere"})


def test_the_packages_that_travel_hold_code_and_sql_but_no_caches(tmp_path: Path) -> None:
    names = zipfile.ZipFile(zip_packages(tmp_path)).namelist()

    assert {"consumer/domain/unit_query.py", "spark/unit_offload.py", "consumer/__init__.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_a_worker_that_has_the_archive_alone_can_run_tasks(tmp_path: Path) -> None:
    archive = zip_packages(tmp_path)
    program = f"""
import sys
sys.path.insert(0, {str(archive)!r})
import spark.connect_task, spark.packages
for name, module in sys.modules.items():
    if name.partition(".")[0] in ("spark", "consumer"):
        print(module.__file__)
print(spark.packages.runs_here({code_digest()!r}), spark.packages.runs_here("another"))
"""

    *origins, verdicts = subprocess.check_output([sys.executable, "-c", program], text=True).splitlines()

    assert len(origins) > 10
    assert all(origin.startswith(str(archive)) for origin in origins)
    assert verdicts == "True False"


def test_equal_code_makes_equal_archives_and_other_code_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(spark.__path__[0], copy)
    first = zip_packages(tmp_path)
    before = first.read_bytes()
    monkeypatch.setattr(spark, "__path__", [str(copy)])

    def again() -> Path:
        code_digest.cache_clear()
        return zip_packages(tmp_path)

    try:
        same = again()
        assert same == first
        assert same.read_bytes() == before
        (copy / "columns.py").write_text("changed")
        assert again() != first
        assert not runs_here(first.stem.removeprefix("icehaul-"))
    finally:
        code_digest.cache_clear()


def test_secrets_do_not_show_in_text() -> None:
    source = SourceAccess(
        host="h",
        port=1,
        user="u",
        password="s3cret",
        secure=False,
        verify=True,
        ca_file=None,
        connect_timeout_s=1,
        query_timeout_s=1,
        settings=(),
        block_rows=1024,
    )
    store = StoreAccess(endpoint=None, region="r", access_key="k", secret_key="s3cret", path_style=True)

    assert "s3cret" not in f"{source} {store!r}"
