"""A proxy in front of the object store that counts what is read of it: bytes as they go over the wire, by object."""

from __future__ import annotations

from collections import Counter
from urllib.parse import unquote, urlsplit

from tests.support.store_proxy import StoreProxy
from tests.support.tcp_proxy import Link


class StoreMeter(StoreProxy):
    """Forwards everything; ``read`` are the bytes of the answers to GET requests, heads included, by bucket and key."""

    def __init__(self, upstream_port: int) -> None:
        super().__init__(upstream_port)
        self.read: Counter[str] = Counter()
        self._asked: dict[Link, str | None] = {}

    def asked(self, link: Link, request: str) -> None:
        """Remember what the next bytes of a connection belong to: there, an answer follows its request."""
        method, _, target = request.partition(" ")
        self._asked[link] = unquote(urlsplit(target).path).lstrip("/") if method == "GET" else None

    def from_server(self, link: Link, data: bytes) -> None:
        """Count, and forward."""
        if (place := self._asked.get(link)) is not None:
            self.read[place] += len(data)
        super().from_server(link, data)

    def data_files(self) -> dict[str, int]:
        """Bytes read of data files since the last time, by ``s3://`` address; what was counted is forgotten."""
        counted, self.read = self.read, Counter()
        return {f"s3://{place}": size for place, size in counted.items() if place.endswith(".parquet")}
