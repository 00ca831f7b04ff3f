"""Spark's JDBC source into an Iceberg table, one table after the other; started by ``tests.bench.peers``.

The first line of standard input are the settings as JSON; each further line names a table. The answer is a line of
JSON on standard output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pyspark.sql import SparkSession


def main() -> None:
    """Serve until standard input ends."""
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    builder = SparkSession.builder
    for name, value in settings["spark"].items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    _answer({"ready": spark.version})
    for line in sys.stdin:
        table = line.strip()
        try:
            frame = (
                spark.read.format("jdbc")
                .option("driver", "com.clickhouse.jdbc.ClickHouseDriver")
                .option("url", settings["url"])
                .option("user", settings["user"])
                .option("password", settings["password"])
                .option("dbtable", f"{settings['database']}.{table}")
                .load()
            )
            frame.writeTo(f"peers.jdbc.{table}").create()
        except Exception as error:  # noqa: BLE001 - reported, whatever it is
            _answer({"error": f"{type(error).__name__}: {str(error).strip()[:20_000]}"})
        else:
            _answer({"done": table})


def _answer(document: dict[str, Any]) -> None:
    sys.stdout.write(f"@{json.dumps(document)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
