"""A Spark program of somebody else: reads a table through Iceberg's JDBC catalog, knowing nothing of icehaul.

``python -m tests.support.spark_reader TABLE`` with the addresses in ``READER_*`` variables; prints one JSON line.
"""

from __future__ import annotations

import json
import os
import sys

from pyspark.sql import SparkSession


def session() -> SparkSession:
    """Start a session with the catalog ``icehaul``."""
    given = os.environ
    builder = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.jars", given["READER_JARS"])
        .config("spark.sql.session.timeZone", "UTC")
    )
    catalog = "spark.sql.catalog.icehaul"
    options = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "jdbc",
        ".jdbc.schema-version": "V1",
        ".uri": given["READER_JDBC_URL"],
        ".jdbc.user": given["READER_USER"],
        ".jdbc.password": given["READER_PASSWORD"],
        ".warehouse": given["READER_WAREHOUSE"],
        ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        ".s3.endpoint": given["READER_S3_ENDPOINT"],
        ".s3.path-style-access": "true",
        ".s3.access-key-id": given["READER_ACCESS_KEY"],
        ".s3.secret-access-key": given["READER_SECRET_KEY"],
        ".client.region": given["READER_REGION"],
    }
    for name, value in options.items():
        builder = builder.config(f"{catalog}{name}", value)
    return builder.getOrCreate()


def main() -> None:
    spark = session()
    row = spark.sql(
        "SELECT count(*) AS rows, cast(sum(price) AS string) AS price, count(note) AS notes, sum(size(tags)) AS tags,"
        f" cast(min(ts) AS string) AS first, cast(max(ts) AS string) AS last, count(DISTINCT seq) AS numbers"
        f" FROM icehaul.{sys.argv[1]}"
    ).collect()[0]
    print(json.dumps(row.asDict()))  # noqa: T201
    spark.stop()


if __name__ == "__main__":
    main()
