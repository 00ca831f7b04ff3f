"""A Postgres that takes encrypted connections only, with the roles of ``ops/security/postgres``."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql

from consumer.embedded.endpoints import PostgresEndpoint
from consumer.embedded.ports import LOOPBACK, free_ports
from consumer.embedded.postgres import Postgres
from consumer.embedded.process import Launch
from tests.support.certificates import Authority, Certificate
from tests.support.tls_proxy import tls_proxy

OPS = Path(__file__).resolve().parents[2] / "ops" / "security" / "postgres"
ROLES = ("icehaul_owner", "icehaul_committer", "icehaul_reader", "icehaul_maintenance")
_ONLY_ENCRYPTED = "hostssl all all 127.0.0.1/32 scram-sha-256\n"


class SecuredPostgres(Postgres):
    """The machine's own server with TLS; the wheel's, which has none, where there is no other."""

    def __init__(self, home: Path, authority: Authority, certificate: Certificate) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.endpoint = PostgresEndpoint(
            host=LOOPBACK,
            port=free_ports(1)[0],
            database="icehaul",
            user="administrator",
            password=secrets.token_urlsafe(18),
        )
        binaries = _binaries_with_tls()
        super().__init__(home, home / "postgres.log", self.endpoint, binaries=binaries)
        self.speaks_tls = binaries is not None
        self.passwords = {role: secrets.token_urlsafe(18) for role in ROLES}
        self._authority = authority
        self._certificate = certificate

    def prepare(self) -> None:
        super().prepare()
        if self.speaks_tls:
            (self.home / "data" / "pg_hba.conf").write_text(_ONLY_ENCRYPTED)

    def launch(self) -> Launch:
        launch = super().launch()
        # Processes end here, never the machine.
        settings = ["fsync=off"]
        if self.speaks_tls:
            files = (("ssl_cert_file", self._certificate.certificate), ("ssl_key_file", self._certificate.key))
            settings += ["ssl=on", *(f"{name}={path}" for name, path in files)]
        return replace(launch, argv=(*launch.argv, *(word for one in settings for word in ("-c", one))))

    @contextmanager
    def encrypted(self) -> Iterator[int]:
        """The port at which TLS is spoken: the server's own, or that of a proxy in front of it."""
        if self.speaks_tls:
            yield self.port
            return
        with tls_proxy(self.port, self._certificate.server_context(), postgres=True) as port:
            yield port

    def make_roles(self) -> None:
        """Apply the roles' file as an administrator, and give each role a password."""
        with psycopg.connect(self.endpoint.dsn, autocommit=True) as connection:
            connection.execute((OPS / "roles.sql").read_bytes())
            for role, password in self.passwords.items():
                statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
                connection.execute(statement)

    def grant(self) -> None:
        """Apply the files that follow every migration."""
        with psycopg.connect(self.endpoint.dsn, autocommit=True) as connection:
            for name in ("committer", "reader", "maintenance"):
                connection.execute((OPS / f"{name}.sql").read_bytes())

    def dsn(self, role: str, port: int, *, host: str = LOOPBACK, **parameters: str) -> str:
        """A DSN that proves who the server is, unless ``parameters`` say otherwise."""
        given = {"sslmode": "verify-full", "sslrootcert": str(self._authority.certificate), **parameters}
        query = "&".join(f"{name}={value}" for name, value in given.items())
        return f"postgresql://{role}:{self.passwords[role]}@{host}:{port}/{self.endpoint.database}?{query}"


def _binaries_with_tls() -> Path | None:
    found = shutil.which("postgres")
    candidates = [Path(found).resolve()] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    for program in candidates:
        if (program.parent / "initdb").exists() and b"libssl.so" in program.read_bytes():
            return program.parent
    return None
