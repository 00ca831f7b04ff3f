"""Runs statements on the ClickHouse engine of whatever chdb this interpreter has: JSON lines in, JSON lines out.

Runs in virtual environments that hold nothing but one version of chdb, so it imports that and the standard library.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path


def main(data_dir: Path) -> None:
    """Answer requests ``{"sql", "format"}`` with ``{"body"}`` (base64) or ``{"error"}``.

    Ends with the input, or after a statement that failed.
    What a session has stored is there again when the next process opens the same directory.
    """
    # The engine may print; only replies may go where the reader reads them.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    from chdb import session  # noqa: PLC0415 - nothing may be printed before the output is set apart

    engine = session.Session(str(data_dir))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            result = engine.query(request["sql"], request["format"])
            reply = {"body": base64.b64encode((result.bytes() or b"") if result is not None else b"").decode()}
        except Exception as error:  # noqa: BLE001 - its class has a different module in every version
            reply = {"error": str(error)}
        print(json.dumps(reply), file=replies, flush=True)
        if "error" in reply:
            # Every version keeps something of a failed statement that spoils the next one.
            os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
