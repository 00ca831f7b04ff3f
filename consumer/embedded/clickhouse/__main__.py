"""``python -m consumer.embedded.clickhouse --data-dir DIR …``: the embedded ClickHouse server.

The engine reads its time zone from the environment when it is loaded, and a server's is UTC wherever it stands. So
this process sets that and then becomes the server, under the same process id.
"""

from __future__ import annotations

import os
import sys

_SERVER = "consumer.embedded.clickhouse.serve"


def main() -> None:
    """Become the server."""
    flags = sys.orig_argv[1 : sys.orig_argv.index("-m")]
    command = [sys.executable, *flags, "-m", _SERVER, *sys.argv[1:]]
    os.execve(sys.executable, command, {**os.environ, "TZ": "UTC"})  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
