"""A Spark program of somebody else that inserts into a table through Iceberg's JDBC catalog.

``python -m tests.support.spark_writer TABLE ROWS`` with the addresses in ``READER_*`` variables, as
``spark_reader`` takes them; prints one JSON line with what the insert said.
"""

from __future__ import annotations

import json
import sys

from py4j.protocol import Py4JJavaError

from tests.support.spark_reader import session


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
