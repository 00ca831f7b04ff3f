"""An embedded ClickHouse whose users have the rights of the files in ``ops/security/clickhouse``, and no others.

The engine has one user and any number of roles: a user of the server is a role that the engine itself enforces.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from tests.integration.embedded_clickhouse.support import Server
from tests.support.certificates import Authority

OPS = Path(__file__).resolve().parents[2] / "ops" / "security" / "clickhouse"
_GRANT = re.compile(r"^(GRANT .+?) TO \w+;$", re.MULTILINE)
_READ_ONLY = "SETTINGS readonly = 2"
_CONFIG = """<clickhouse>
<users_config>{users}</users_config>
<openSSL><client>
    <caConfig>{authority}</caConfig><loadDefaultCAFile>false</loadDefaultCAFile>
    <verificationMode>strict</verificationMode>
    <invalidCertificateHandler><name>RejectCertificateHandler</name></invalidCertificateHandler>
</client></openSSL>
</clickhouse>
"""
_USERS = """<clickhouse><profiles><default/></profiles><quotas><default/></quotas>
<roles>{roles}</roles>
<users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
<grants>{memberships}</grants></default></users></clickhouse>
"""


def grants_of(*files: str, database: str = "market") -> list[str]:
    """The GRANT statements of files, without the role that they are for, on another database."""
    texts = [(OPS / file).read_text(encoding="utf-8") for file in files]
    return [one.replace("market.", f"{database}.") for text in texts for one in _GRANT.findall(text)]


def is_read_only(file: str) -> bool:
    """Whether the file's role may not write, whatever it is granted."""
    return _READ_ONLY in (OPS / file).read_text(encoding="utf-8")


class SecuredClickHouse:
    """The server; ``users`` are the grants of each, of which those in ``read_only`` may not write."""

    def __init__(
        self, home: Path, authority: Authority, users: Mapping[str, Sequence[str]], *, read_only: Sequence[str] = ()
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.passwords = {user: secrets.token_urlsafe(18) for user in users}
        config = home / "config.xml"
        config.write_text(_CONFIG.format(users=home / "users.xml", authority=authority.certificate))
        (home / "users.xml").write_text(_users_xml({"everything": ["GRANT ALL ON *.*"], **users}))
        accounts = [
            {"user": user, "password": self.passwords[user], "role": user, "read_only": user in read_only}
            for user in users
        ]
        (home / "accounts.json").write_text(json.dumps(accounts))
        self.server = Server(home, "--config-file", str(config), "--accounts-file", str(home / "accounts.json"))

    @property
    def port(self) -> int:
        """The port that speaks no TLS; the administrator's clients use it."""
        return self.server.port

    def kill(self) -> None:
        """End the server at once: nobody asks for its rows again."""
        self.server.process.kill()
        self.server.process.wait()


def _users_xml(roles: Mapping[str, Sequence[str]]) -> str:
    def queries(statements: Sequence[str]) -> str:
        return "".join(f"<query>{escape(one)}</query>" for one in statements)

    definitions = "".join(f"<{role}><grants>{queries(given)}</grants></{role}>" for role, given in roles.items())
    return _USERS.format(roles=definitions, memberships=queries([f"GRANT {role}" for role in roles]))
