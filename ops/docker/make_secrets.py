#!/usr/bin/env python3
"""Makes the secrets of docker-compose.yml, once: ``python3 ops/docker/make_secrets.py [DIRECTORY]``.

Needs nothing but Python. Files that exist are left alone, so that running servers and their data stay usable. The
directory is closed to others; the files are not, because each container reads them under a user of its own.
"""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

DEFAULT = Path(__file__).resolve().parents[2] / "var" / "compose" / "secrets"
_USERS = """\
<clickhouse>
  <users>
    <default remove="remove"/>
    <icehaul>
      <password>{password}</password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <access_management>1</access_management>
    </icehaul>
  </users>
</clickhouse>
"""


def make(directory: Path) -> list[str]:
    """Write what is missing below ``directory``; the names of the files written."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    clickhouse = _kept(directory / "icehaul_clickhouse__password", secrets.token_hex(16))
    postgres = _kept(directory / "postgres_password", secrets.token_hex(16))
    _kept(directory / "grafana_password", secrets.token_hex(16))
    access_key = _kept(directory / "icehaul_store__access_key", secrets.token_hex(10).upper())
    secret_key = _kept(directory / "icehaul_store__secret_key", secrets.token_hex(20))
    identity = {
        "name": "icehaul",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    derived = {
        "clickhouse_users.xml": _USERS.format(password=clickhouse),
        "icehaul_postgres__dsn": f"postgresql://icehaul:{postgres}@postgres:5432/icehaul",
        "s3.json": json.dumps({"identities": [identity]}),
    }
    for name, text in derived.items():
        _kept(directory / name, text)
    return sorted(path.name for path in directory.iterdir())


def _kept(path: Path, text: str) -> str:
    """The file's content, which is ``text`` if there was no file."""
    if not path.exists():
        path.write_text(text, encoding="utf-8")
        path.chmod(0o444)
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    sys.stdout.write(f"{len(make(target))} secrets in {target}\n")
