"""A Spark program of somebody else that inserts into a table through Iceberg's JDBC catalog.

``python -m tests.support.spark_writer TABLE ROWS`` with the addresses in ``WRITER_*`` variables; prints one JSON line
with what the insert said.
"""

from __future__ import annotations

import json
import os
import sys

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession


def session() -> SparkSession:
    """Start a session with the catalog ``icehaul``."""
    given = os.environ
    builder = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.jars", given["WRITER_JARS"])
        .config("spark.sql.session.timeZone", "UTC")
    )
    catalog = "spark.sql.catalog.icehaul"
    options = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "jdbc",
        ".jdbc.schema-version": "V1",
        ".uri": given["WRITER_JDBC_URL"],
        ".jdbc.user": given["WRITER_USER"],
        ".jdbc.password": given["WRITER_PASSWORD"],
        ".warehouse": given["WRITER_WAREHOUSE"],
        ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        ".s3.endpoint": given["WRITER_S3_ENDPOINT"],
        ".s3.path-style-access": "true",
        ".s3.access-key-id": given["WRITER_ACCESS_KEY"],
        ".s3.secret-access-key": given["WRITER_SECRET_KEY"],
        ".client.region": given["WRITER_REGION"],
    }
    for name, value in options.items():
        builder = builder.config(f"{catalog}{name}", value)
    return builder.getOrCreate()


def main() -> None:
    table, rows = sys.argv[1], int(sys.argv[2])
    spark = session()
    error = None
    try:
        spark.sql(
            f"INSERT INTO icehaul.{table} SELECT TIMESTAMP '1990-01-01 00:00:00', id, 'from Spark', array('a')"
            f" FROM range({rows})"
        )
    except Py4JJavaError as raised:
        error = str(raised.java_exception.toString())
    print(json.dumps({"error": error}))  # noqa: T201
    spark.stop()


if __name__ == "__main__":
    main()
