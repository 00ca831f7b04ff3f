"""What failed handshakes mean, whoever reports them: Python's ssl, libpq, librdkafka or curl in the store's client."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from consumer.domain.errors import UntrustedServerError


class Fault(StrEnum):
    """Why one side did not go on."""

    FILE = "file"
    """The file with the authority is missing, or holds no certificate."""
    NAME = "name"
    """The certificate is for another host."""
    AUTHORITY = "authority"
    """The certificate is not signed by the authority that is trusted, or is not valid now."""
    PLAIN = "plain"
    """The server does not speak TLS there."""


# The first sign that a text carries decides: a mismatch of names is told as a failed verification too. A connection
# that ends within the handshake is none: a server that restarts does that.
_SIGNS: tuple[tuple[Fault, tuple[str, ...]], ...] = (
    (
        Fault.FILE,
        (
            "NO_CERTIFICATE_OR_CRL_FOUND",
            "PEM lib",
            "SSLError: [Errno 2]",
            "Could not find a suitable TLS CA certificate bundle",
            "could not read root certificate file",
            "root certificate file",
            "ssl.ca.location failed",
            "curlCode: 77",
        ),
    ),
    (
        Fault.NAME,
        (
            "Hostname mismatch",
            "hostname mismatch",
            "IP address mismatch",
            "does not match host name",
            # A name in quotes: ClickHouse says so of numbers of arguments.
            "' doesn't match ",
            "no alternative certificate subject name matches",
        ),
    ),
    (
        Fault.AUTHORITY,
        (
            "CERTIFICATE_VERIFY_FAILED",
            "certificate verify failed",
            "certificate could not be verified",
            "unable to get local issuer certificate",
            "certificate has expired",
            "curlCode: 60",
        ),
    ),
    (
        Fault.PLAIN,
        (
            "WRONG_VERSION_NUMBER",
            "wrong version number",
            "record layer failure",
            "packet length too long",
            "HTTPS_PROXY_REQUEST",
            "server does not support SSL",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedies:
    """What to do about each fault at one kind of server, in the words of its settings."""

    authority: str
    name: str
    plain: str

    def of(self, fault: Fault) -> str:
        """Return what to do about a fault."""
        match fault:
            case Fault.NAME:
                return self.name
            case Fault.PLAIN:
                return self.plain
            case _:
                return self.authority


def fault_of(text: str) -> Fault | None:
    """Return the fault that an error's text tells of; ``None`` for one that is not about certificates or TLS."""
    return next((fault for fault, signs in _SIGNS if any(sign in text for sign in signs)), None)


def untrusted(server: str, text: str, remedies: Remedies) -> UntrustedServerError | None:
    """Return the error for a server that is not trusted; ``None`` where the text tells of something else.

    ``server`` says which one, with its address, as the first words of the message.
    """
    fault = fault_of(text)
    if fault is None:
        return None
    said = {
        Fault.FILE: "can't be checked: the file with the trusted authority can't be used",
        Fault.NAME: "has a certificate for another host",
        Fault.AUTHORITY: "has a certificate that the trusted authority has not signed, or that is not valid now",
        Fault.PLAIN: "does not speak TLS at this port",
    }
    return UntrustedServerError(f"{server} {said[fault]}: {text}", remedy=remedies.of(fault))


CLICKHOUSE = Remedies(
    authority="set clickhouse.ca_file to a PEM file with the authority that signed the server's certificate; it has to"
    " be there on every machine that runs icehaul or its Spark tasks",
    name="set clickhouse.host to a name that stands in the server's certificate",
    plain="give the port of the HTTPS interface in clickhouse.port (8443 is usual), or set clickhouse.secure: false",
)
STORE = Remedies(
    authority="set store.ca_file to a PEM file with the authority that signed the store's certificate, if the host name"
    " in store.endpoint is one of those in the certificate; it has to be there on every machine that runs icehaul or"
    " its Spark tasks",
    name="set store.endpoint to a host name that stands in the store's certificate",
    plain="write http:// in store.endpoint, or give the port at which the store speaks TLS",
)
POSTGRES = Remedies(
    authority="set sslrootcert in postgres.dsn to a PEM file with the authority that signed the server's certificate",
    name="set the host in postgres.dsn to a name that stands in the server's certificate",
    plain="switch ssl on in postgresql.conf, or lower sslmode in postgres.dsn, which gives up the protection",
)
KAFKA = Remedies(
    authority="set ssl.ca.location in kafka.options to a PEM file with the authority that signed the brokers'"
    " certificates, if kafka.bootstrap_servers names hosts that stand in them",
    name="name the brokers in kafka.bootstrap_servers, and in their advertised.listeners, as their certificates do",
    plain="correct security.protocol in kafka.options (PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL), or the port",
)
