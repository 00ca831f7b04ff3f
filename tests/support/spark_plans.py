"""A Spark program that tells what its plans skip: ``python -m tests.support.spark_plans PROPERTIES``.

Answers each line of standard input, a query, with a line of JSON: its rows, and how many data files Iceberg's scan has
planned and skipped.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession


def main() -> None:
    # An adaptive plan hides the scan, whose metrics are asked for.
    builder = SparkSession.builder.master("local[1]").config("spark.sql.adaptive.enabled", "false")
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        name, value = line.split()
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    for query in sys.stdin:
        frame = spark.sql(query)
        rows = [list(row) for row in frame.collect()]
        metrics = frame._jdf.queryExecution().executedPlan().collectLeaves().head().metrics()
        counted = {name: metrics.apply(name).value() for name in ("resultDataFiles", "skippedDataFiles")}
        answer = {"rows": rows, "planned": counted["resultDataFiles"], "skipped": counted["skippedDataFiles"]}
        print(json.dumps(answer), flush=True)  # noqa: T201
    spark.stop()


if __name__ == "__main__":
    main()
