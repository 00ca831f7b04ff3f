"""A Spark program that tells what its plans skip: ``python -m tests.support.spark_plans PROPERTIES``.

Each line of standard input is JSON: a ``query``, the ``endpoint`` of the store that it reads through (none: that of the
properties), and whether it comes from a ``fresh`` session, which knows nothing of tables read before. The answer is a
line of JSON: the query's rows, how many data files Iceberg's scan has planned and skipped, and the seconds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

_ENDPOINT = "spark.sql.catalog.icehaul.s3.endpoint"


def main() -> None:
    """Answer until standard input ends."""
    # An adaptive plan hides the scan, whose metrics are asked for.
    builder = SparkSession.builder.master("local[1]").config("spark.sql.adaptive.enabled", "false")
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        name, value = line.split()
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    sessions: dict[str | None, SparkSession] = {None: spark}
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        endpoint = asked.get("endpoint")
        if endpoint not in sessions or asked.get("fresh"):
            sessions[endpoint] = spark.newSession()
            if endpoint is not None:
                # A session opens its catalogs when it first reads of them.
                sessions[endpoint].conf.set(_ENDPOINT, endpoint)
        print(json.dumps(answer(sessions[endpoint], asked["query"]), default=str), flush=True)  # noqa: T201
    spark.stop()


def answer(spark: SparkSession, query: str) -> dict[str, Any]:
    """Run a query."""
    started = time.perf_counter()
    frame = spark.sql(query)
    rows = [list(row) for row in frame.collect()]
    seconds = time.perf_counter() - started
    metrics = frame._jdf.queryExecution().executedPlan().collectLeaves().head().metrics()
    planned, skipped = (metrics.apply(name).value() for name in ("resultDataFiles", "skippedDataFiles"))
    return {"rows": rows, "planned": planned, "skipped": skipped, "seconds": seconds}


if __name__ == "__main__":
    main()
