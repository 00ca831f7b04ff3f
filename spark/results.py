"""Fetching the results of a job."""

from __future__ import annotations

from typing import TypeVar

from pyspark import RDD
from pyspark.serializers import CPickleSerializer

T = TypeVar("T")


def collect(rdd: RDD[T]) -> list[T]:
    """Return an RDD's elements; for results of some kilobytes.

    ``RDD.collect`` opens a socket for each job and leaves closing it to the garbage collector. Small results
    come over the connection that the driver has anyway.
    """
    elements: list[T] = []
    for chunk in rdd._jrdd.collect():  # noqa: SLF001
        elements.extend(CPickleSerializer().loads(chunk))  # type: ignore[no-untyped-call]
    return elements
