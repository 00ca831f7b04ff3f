"""The server's process: from its arguments to its end. Start it as ``python -m consumer.embedded.clickhouse``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from consumer.domain.errors import ConfigurationError, IcehaulError
from consumer.embedded.clickhouse.engine import Engine, Rights
from consumer.embedded.clickhouse.limits import MIB, Limits
from consumer.embedded.clickhouse.server import Account, ClickHouseServer

log = logging.getLogger("consumer.embedded.clickhouse")

_EXIT_UNCLEAN = 3


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m consumer.embedded.clickhouse", description="Serve ClickHouse's HTTP interface on loopback."
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="owned by this process while it runs")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 lets the system choose")
    parser.add_argument("--user", default="default")
    parser.add_argument("--password-file", type=Path, help="its first line is the password; without it there is none")
    parser.add_argument("--accounts-file", type=Path, help="further users, each with a role of the engine: JSON")
    parser.add_argument("--ready-file", type=Path, help="receives the port once the server answers")
    parser.add_argument("--config-file", type=Path, help="of the engine, in XML: its clusters, for example")
    parser.add_argument("--log-file", type=Path, help="standard error if absent")
    parser.add_argument("--max-body-mib", type=int, default=Limits().body_bytes_max // MIB)
    parser.add_argument("--max-connections", type=int, default=Limits().connections_max)
    parser.add_argument("--max-queries", type=int, default=Limits().queries_max)
    return parser.parse_args(argv)


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").split("\n", 1)[0]
    except OSError as error:
        raise ConfigurationError(
            f"--password-file is {str(path)!r}, which cannot be read: {error.strerror}",
            remedy="Name a readable file whose first line is the password",
        ) from error


def _further_accounts(path: Path | None) -> list[Account]:
    if path is None:
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [
            Account(
                user=one["user"],
                password=one["password"],
                rights=Rights(role=one["role"], read_only=bool(one["read_only"])),
            )
            for one in found
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"--accounts-file is {str(path)!r}, which cannot be read: {type(error).__name__}: {error}",
            remedy='Name a readable file with [{"user": …, "password": …, "role": …, "read_only": …}, …]',
        ) from error


def _announce(port: int, ready_file: Path | None) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    if ready_file is not None:
        # Renamed into place, so that a reader never sees half of it.
        unfinished = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
        unfinished.write_text(f"{port}\n", encoding="ascii")
        unfinished.replace(ready_file)


def _serve(options: argparse.Namespace) -> int:
    limits = Limits(
        body_bytes_max=options.max_body_mib * MIB,
        connections_max=options.max_connections,
        queries_max=options.max_queries,
    )
    data_dir = options.data_dir.resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = Account(user=options.user, password=_password(options.password_file))
    accounts = [account, *_further_accounts(options.accounts_file)]
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    engine = Engine(data_dir, options.config_file.resolve() if options.config_file else None)
    try:
        server = ClickHouseServer(
            options.port, engine=engine, spool_dir=data_dir / "http_spool", accounts=accounts, limits=limits
        )
        port = server.server_address[1]
        threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
        log.info("serving engine %s on 127.0.0.1:%d", engine.version, port)
        _announce(port, options.ready_file)
        stopped.wait()
        log.info("stopping")
        if not server.stop():
            log.error("statements still ran after their cancellation: ending without closing the engine")
            return _EXIT_UNCLEAN
    finally:
        if options.ready_file is not None:
            options.ready_file.unlink(missing_ok=True)
    engine.close()
    log.info("stopped")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    options = _arguments(argv)
    logging.basicConfig(
        filename=options.log_file, level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(message)s"
    )
    try:
        return _serve(options)
    except (IcehaulError, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all; a traceback would bury it
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # Threads of the engine may still run: the interpreter must not tear down what they use.
    os._exit(status)
