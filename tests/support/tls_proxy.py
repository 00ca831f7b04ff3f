"""TLS in front of a server that speaks none, as stunnel or a load balancer does it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"
_CHUNK = 65_536
_POSTGRES_ASKS_FOR_TLS = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_YES = b"S"


class _Proxy:
    """The connections of one proxy, on one event loop."""

    def __init__(self, upstream_port: int, context: ssl.SSLContext, *, postgres: bool) -> None:
        self._upstream_port = upstream_port
        self._context = context
        self._postgres = postgres
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, HOST, 0, ssl=None if self._postgres else self._context)

    async def end(self, server: asyncio.Server) -> None:
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._kept(writer):
            if self._postgres:
                if await reader.readexactly(len(_POSTGRES_ASKS_FOR_TLS)) != _POSTGRES_ASKS_FOR_TLS:
                    return
                writer.write(_YES)
                await writer.start_tls(self._context)
            upstream_reader, upstream = await asyncio.open_connection(HOST, self._upstream_port)
            with self._kept(upstream):
                await asyncio.gather(_pump(reader, upstream), _pump(upstream_reader, writer))

    @contextlib.contextmanager
    def _kept(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


@contextmanager
def tls_proxy(upstream_port: int, context: ssl.SSLContext, *, postgres: bool = False) -> Iterator[int]:
    """Take TLS on a port of its own, which is yielded, and pass the plain bytes on.

    ``postgres``: a client asks in the clear whether TLS is spoken before it begins.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tls-proxy", daemon=True)
    thread.start()
    proxy = _Proxy(upstream_port, context, postgres=postgres)
    server = asyncio.run_coroutine_threadsafe(proxy.listen(), loop).result(60)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        asyncio.run_coroutine_threadsafe(proxy.end(server), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until it ends, and then the end; TLS has no half of a connection, so both ways end."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.close()
