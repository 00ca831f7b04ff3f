"""A Spark program of somebody else: queries with the properties of the documentation, knowing nothing of icehaul.

``python -m tests.support.spark_reader PROPERTIES QUERY...``, the first a file; prints the rows of each query as
JSON, on one line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession


def main() -> None:
    properties, queries = Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2:]
    builder = SparkSession.builder.master("local[1]")
    for line in properties.splitlines():
        name, value = line.split()
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    for query in queries:
        print(json.dumps([row.asDict() for row in spark.sql(query).collect()], default=str))  # noqa: T201
    spark.stop()


if __name__ == "__main__":
    main()
