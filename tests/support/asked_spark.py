"""Spark as a reader of the cold tier, in a process of its own that tells what each query planned and took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from consumer.embedded.endpoints import Endpoints

_END_SECONDS = 60
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class AskedSpark:
    """The running program of ``tests/support/spark_plans.py``; its catalog is named ``icehaul``."""

    process: subprocess.Popen[str]
    log: Path

    def ask(self, query: str, endpoint: str | None = None, *, fresh: bool = False) -> dict[str, Any]:
        """Return the ``rows`` of a query, the data files that it ``planned`` and ``skipped``, and its ``seconds``.

        Args:
            query: what is asked.
            endpoint: where the store is for this query, if not where the properties say.
            fresh: whether the session has to forget what it knows of tables.
        """
        line = json.dumps({"query": query, "endpoint": endpoint, "fresh": fresh})
        print(line, file=self.process.stdin, flush=True)
        for answer in self.process.stdout or ():
            if answer.startswith("{"):
                return dict(json.loads(answer))
        raise AssertionError(self.log.read_text(encoding="utf-8")[-3000:])


@contextmanager
def asked_spark(
    endpoints: Endpoints, directory: Path, store_endpoint: str, properties: Mapping[str, str] = _NONE
) -> Iterator[AskedSpark]:
    """Start the program on the embedded stack's catalog, and end it with the block.

    Args:
        endpoints: where the servers are.
        directory: where its properties and its log are kept.
        store_endpoint: where it finds the store, which may be a proxy's address.
        properties: further properties of Spark.
    """
    store, catalog = endpoints.store, "spark.sql.catalog.icehaul"
    own = {
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "jdbc",
        f"{catalog}.jdbc.schema-version": "V1",
        f"{catalog}.uri": endpoints.postgres.jdbc_url,
        f"{catalog}.jdbc.user": endpoints.postgres.user,
        f"{catalog}.jdbc.password": endpoints.postgres.password,
        f"{catalog}.warehouse": f"s3://{store.bucket}/warehouse",
        f"{catalog}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        f"{catalog}.s3.endpoint": store_endpoint,
        f"{catalog}.s3.path-style-access": "true",
        f"{catalog}.s3.access-key-id": store.access_key,
        f"{catalog}.s3.secret-access-key": store.secret_key,
        f"{catalog}.client.region": store.region,
        "spark.jars": ",".join(str(jar) for jar in endpoints.spark_jars),
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        # Counts would come from the manifests.
        "spark.sql.iceberg.aggregate-push-down.enabled": "false",
    }
    file, log = directory / "spark-defaults.conf", directory / "spark.log"
    lines = (f"{name} {value}\n" for name, value in (own | dict(properties)).items())
    file.write_text("".join(lines), encoding="utf-8")
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.spark_plans", file],
            env={**os.environ, "TZ": "UTC", "JAVA_HOME": str(endpoints.java_home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield AskedSpark(process, log)
            process.stdin.close()
            assert process.wait(_END_SECONDS) == 0
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                pipe.close()
