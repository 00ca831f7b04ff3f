"""A YARN ResourceManager as far as submitting an application goes: it speaks Hadoop's RPC, keeps what it is sent,
and says that the application has failed. It runs nothing.

The protocol: Hadoop 3.4, ``RpcHeader.proto`` and ``applicationclient_protocol.proto``, without SASL.
"""

from __future__ import annotations

import socketserver
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path

from tests.support.protobuf_wire import Fields, decoded, encoded, read_varint, varint

_LOOPBACK = "127.0.0.1"
_MAGIC = b"hrpc"
_HEADER_BYTES = 7
_ONE_STARTED_MS = 1_700_000_000_000
_APPLICATION = encoded((1, 1), (2, _ONE_STARTED_MS))
_FAILED, _ENDED_FAILED = 7, 2
"""Of ``YarnApplicationStateProto`` and ``FinalApplicationStatusProto``."""
_CONFIGURATION = "__spark_conf__"
REFUSAL = "this is a dry run: nothing is started"


@dataclass(frozen=True)
class Submission:
    """What an application was submitted with, for the container of its master."""

    name: str
    resources: dict[str, str]
    """Where each file or archive that YARN is to bring along lies, by the name that it gets."""
    environment: dict[str, str]
    commands: list[str]
    properties: str
    """Spark's properties, as the containers will have them."""


@dataclass
class ResourceManager:
    """Where it listens, and what came."""

    port: int = 0
    submissions: list[Submission] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def configuration(self, directory: Path) -> Path:
        """Write Hadoop's files that lead here, with a local folder in the place of HDFS; return their folder."""
        properties = {
            "fs.defaultFS": f"file://{directory}",
            "yarn.resourcemanager.address": f"{_LOOPBACK}:{self.port}",
            "yarn.resourcemanager.connect.max-wait.ms": "2000",
            "yarn.timeline-service.enabled": "false",
        }
        entries = "".join(f"<property><name>{n}</name><value>{v}</value></property>" for n, v in properties.items())
        folder = directory / "hadoop"
        folder.mkdir(parents=True)
        for name in ("core-site.xml", "yarn-site.xml"):
            (folder / name).write_text(f"<configuration>{entries}</configuration>", encoding="utf-8")
        return folder

    def answer(self, method: str, request: bytes) -> bytes:
        """Return the response to a call."""
        self.calls.append(method)
        match method:
            case "getNewApplication":
                return encoded((1, _APPLICATION), (2, encoded((1, 65_536), (2, 64))))
            case "getClusterMetrics":
                return encoded((1, encoded((1, 3))))
            case "submitApplication":
                self.submissions.append(_submission(request))
                return b""
            case "getApplicationReport":
                return encoded((1, self._report()))
            case _:
                return b""

    def _report(self) -> bytes:
        name = self.submissions[-1].name if self.submissions else "none"
        text = ((2, "icehaul"), (3, "default"), (4, name), (5, "nowhere"))
        return encoded((1, _APPLICATION), *text, (6, 0), (8, _FAILED), (9, ""), (10, REFUSAL), (13, _ENDED_FAILED))


def _submission(request: bytes) -> Submission:
    context = decoded(_bytes(decoded(request), 1))
    container = decoded(_bytes(context, 5))
    resources = {}
    for entry in container.get(1, []):
        fields = decoded(entry if isinstance(entry, bytes) else b"")
        url = decoded(_bytes(decoded(_bytes(fields, 2)), 1))
        resources[_bytes(fields, 1).decode()] = _bytes(url, 4).decode()
    environment = {}
    for entry in container.get(4, []):
        fields = decoded(entry if isinstance(entry, bytes) else b"")
        environment[_bytes(fields, 1).decode()] = _bytes(fields, 2).decode()
    commands = [one.decode() for one in container.get(5, []) if isinstance(one, bytes)]
    # Now: Spark clears it away once the application has failed.
    with zipfile.ZipFile(resources[_CONFIGURATION]) as configuration:
        properties = configuration.read(f"{_CONFIGURATION}.properties").decode()
    return Submission(_bytes(context, 2).decode(), resources, environment, commands, properties)


def _bytes(fields: Fields, number: int) -> bytes:
    (value,) = fields[number]
    assert isinstance(value, bytes)
    return value


class _Connection(socketserver.StreamRequestHandler):
    manager: ResourceManager

    def handle(self) -> None:
        assert self.rfile.read(_HEADER_BYTES).startswith(_MAGIC)
        while frame := _frame(self.rfile):
            header, rest = _delimited(frame, 0)
            call = decoded(header)
            # Of the first frame, which tells who is there and what protocol is spoken, the number is -3.
            number = _zigzag(call[3][0]) if 3 in call else 0
            if number < 0:
                continue
            name, rest = _delimited(frame, rest)
            request, _ = _delimited(frame, rest)
            response = self.manager.answer(_bytes(decoded(name), 1).decode(), request)
            answer = encoded((1, number), (2, 0), (3, 9))
            content = varint(len(answer)) + answer + varint(len(response)) + response
            self.wfile.write(struct.pack(">i", len(content)) + content)


def _frame(stream: BufferedIOBase) -> bytes:
    length = stream.read(4)
    return stream.read(*struct.unpack(">i", length)) if len(length) == 4 else b""


def _delimited(frame: bytes, position: int) -> tuple[bytes, int]:
    length, position = read_varint(frame, position)
    return frame[position : position + length], position + length


def _zigzag(value: int | bytes) -> int:
    assert isinstance(value, int)
    return value >> 1 ^ -(value & 1)


@contextmanager
def resource_manager() -> Iterator[ResourceManager]:
    """Serve on loopback until the block ends."""
    manager = ResourceManager()
    handler = type("Connection", (_Connection,), {"manager": manager})
    with socketserver.ThreadingTCPServer((_LOOPBACK, 0), handler) as server:
        server.daemon_threads = True
        manager.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield manager
        finally:
            server.shutdown()
            thread.join()
