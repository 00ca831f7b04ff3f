"""A certificate authority of the test run, and certificates that it signs, by the program openssl."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS = ("-days", "2")


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, both PEM; ``bundle`` is one file with both."""

    certificate: Path
    key: Path
    bundle: Path

    def server_context(self) -> ssl.SSLContext:
        """What a server that shows this certificate needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Signs certificates; whoever trusts it trusts them."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory / name
        self._directory.mkdir(parents=True)
        self.certificate = self._directory / "ca.pem"
        self._key = self._directory / "ca.key"
        _openssl(
            *("req", "-x509", *_KEY, *_DAYS, "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def issue(self, name: str, *hosts: str, subject: str | None = None) -> Certificate:
        """Issue a certificate for hosts, as ``IP:127.0.0.1`` or ``DNS:store.example``; without any, for a client.

        ``name`` is that of the files, and the subject's too unless another is given.
        """
        made = Certificate(*(self._directory / f"{name}.{kind}" for kind in ("pem", "key", "bundle")))
        request = self._directory / f"{name}.csr"
        extensions = self._directory / f"{name}.cnf"
        extensions.write_text(f"subjectAltName={','.join(hosts)}\n" if hosts else "extendedKeyUsage=clientAuth\n")
        _openssl("req", "-new", *_KEY, "-subj", f"/CN={subject or name}", "-keyout", made.key, "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
            *(*_DAYS, "-extfile", extensions, "-out", made.certificate),
        )
        made.bundle.write_text(made.key.read_text() + made.certificate.read_text() + self.certificate.read_text())
        return made


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
