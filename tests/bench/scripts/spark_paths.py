"""The Spark programs that icehaul is compared with, in one warm session; started by the benchmark.

Each line of standard input names a path and a target table; the answer is a line of JSON on standard output.
``spark_jdbc`` is the batch script of the usual kind: a partitioned JDBC read, appended to an Iceberg table.
``spark_map_in_arrow`` reads ArrowStream in Python tasks and lets the JVM write the same table.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

ARROW_TYPES = (
    "ts timestamp, seq bigint, symbol string, exchange string, side string, price decimal(18,8),"
    " quantity decimal(18,8), order_id string, note string, tags array<string>, attributes map<string,string>"
)


def main() -> None:
    """Serve until standard input ends."""
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    builder = SparkSession.builder
    for name, value in settings["spark"].items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    answer({"ready": spark.version})
    readers: dict[str, Callable[[SparkSession, dict[str, Any]], DataFrame]] = {
        "spark_jdbc": read_jdbc,
        "spark_map_in_arrow": read_arrow,
    }
    for line in sys.stdin:
        path, target = line.split()
        try:
            frame = readers[path](spark, settings)
            frame.writeTo(target).tableProperty("write.parquet.compression-codec", "zstd").createOrReplace()
            (files,) = (
                spark.table(f"{target}.files").selectExpr("sum(file_size_in_bytes)", "sum(record_count)").collect()
            )
        except Exception as error:  # noqa: BLE001 - reported, whatever it is
            answer({"error": str(error).strip().partition("\n")[0][:500]})
        else:
            answer({"bytes": files[0], "rows": files[1]})


def answer(document: dict[str, Any]) -> None:
    """Write a line for the benchmark."""
    sys.stdout.write(f"@{json.dumps(document)}\n")
    sys.stdout.flush()


def read_jdbc(spark: SparkSession, settings: dict[str, Any]) -> DataFrame:
    """Read by JDBC, in as many ranges of the sequence number as there are cores, each one stream of rows."""
    return (
        spark.read.format("jdbc")
        .option("driver", "com.clickhouse.jdbc.ClickHouseDriver")
        .option("url", settings["jdbc_url"])
        .option("user", settings["user"])
        .option("password", settings["password"])
        .option("dbtable", f"(SELECT ts, {settings['scalars']} FROM {settings['table']}) AS trades")
        .option("partitionColumn", "seq")
        .option("lowerBound", 0)
        .option("upperBound", settings["rows"])
        .option("numPartitions", settings["partitions"])
        .option("fetchsize", settings["fetch_size"])
        .load()
    )


def read_arrow(spark: SparkSession, settings: dict[str, Any]) -> DataFrame:
    """Read ArrowStream over HTTP in Python tasks, one range of the sequence number each."""
    step = -(-settings["rows"] // settings["partitions"])
    columns = f"ts, {settings['scalars']}, {settings['nested']}"
    url, user, password, table = (settings[name] for name in ("url", "user", "password", "table"))

    def read(parts: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for part in parts:
            for number in part.column(0).to_pylist():
                where = f"seq >= {number * step} AND seq < {(number + 1) * step}"
                query = f"SELECT {columns} FROM {table} WHERE {where} FORMAT ArrowStream"
                headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
                request = urllib.request.Request(url, query.encode(), headers)  # noqa: S310 - http, given
                with urllib.request.urlopen(request) as body:  # noqa: S310 - the same
                    yield from pa.ipc.open_stream(body)

    ranges = spark.range(0, settings["partitions"], 1, settings["partitions"])
    return ranges.mapInArrow(read, ARROW_TYPES)


if __name__ == "__main__":
    main()
