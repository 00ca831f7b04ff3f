"""What Spark is started with."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from consumer.domain.errors import ConfigurationError
from spark.packages import zip_packages
from spark.session import SessionSettings, check_java, session_properties
from spark.unit_task import SourceAccess, StoreAccess

LOG = Path("/tmp/log4j2.properties")  # noqa: S108 - only named, never opened


def test_a_local_session_listens_on_loopback_only_and_shows_no_pages() -> None:
    properties = session_properties(SessionSettings(master="local[2]", driver_memory="512m"), LOG)

    assert properties["spark.driver.host"] == properties["spark.driver.bindAddress"] == "127.0.0.1"
    assert properties["spark.ui.enabled"] == "false"
    assert properties["spark.scheduler.mode"] == "FAIR"
    assert properties["spark.sql.session.timeZone"] == "UTC"


def test_a_cluster_gets_neither_our_address_nor_our_daemon() -> None:
    properties = session_properties(SessionSettings(master="spark://m:7077", driver_memory="1g"), LOG)

    assert "spark.driver.host" not in properties
    assert "spark.python.daemon.module" not in properties


def test_the_operators_properties_win_except_for_the_master() -> None:
    settings = SessionSettings(
        master="local[4]",
        driver_memory="512m",
        jars=("a.jar", "b.jar"),
        conf={"spark.ui.enabled": "true", "spark.master": "yarn"},
    )

    properties = session_properties(settings, LOG)

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

    assert {"consumer/domain/unit_query.py", "spark/unit_offload.py", "schemas/__init__.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


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
