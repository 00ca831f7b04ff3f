"""What failed handshakes mean, in the words of the libraries that report them."""

from __future__ import annotations

import pytest

from consumer.domain.encryption import CLICKHOUSE, KAFKA, POSTGRES, STORE, Fault, Remedies, fault_of, untrusted
from consumer.domain.errors import Reaction, UntrustedServerError
from consumer.domain.store_rights import remedy

TEXTS = {
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer": Fault.AUTHORITY,
    "certificate verify failed: IP address mismatch, certificate is not valid for '127.0.0.2'.": Fault.NAME,
    "certificate verify failed: Hostname mismatch, certificate is not valid for 'localhost'.": Fault.NAME,
    "certificate verify failed: certificate has expired (_ssl.c:1006)": Fault.AUTHORITY,
    "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)": Fault.PLAIN,
    "SSLError: [Errno 2] No such file or directory": Fault.FILE,
    "When reading information for key 'x': [Errno 2] No such file or directory": None,
    "[X509: NO_CERTIFICATE_OR_CRL_FOUND] no certificate or crl found (_ssl.c:4149)": Fault.FILE,
    "SSL error: certificate verify failed": Fault.AUTHORITY,
    'server certificate for "server" does not match host name "localhost"': Fault.NAME,
    'root certificate file "/nowhere" does not exist': Fault.FILE,
    "server does not support SSL, but SSL was required": Fault.PLAIN,
    "curlCode: 60, SSL peer certificate or SSH remote key was not OK; Details: SSL certificate": Fault.AUTHORITY,
    "curlCode: 60, SSL peer; Details: SSL: no alternative certificate subject name matches target": Fault.NAME,
    "curlCode: 77, Problem with the SSL CA cert (path? access rights?)": Fault.FILE,
    "curlCode: 35, SSL connect error; Details: SSL routines::wrong version number": Fault.PLAIN,
    "SSL handshake failed: certificate verify failed: broker certificate could not be verified": Fault.AUTHORITY,
    "SSL connection closed by peer: connecting to a PLAINTEXT broker listener?": None,
    "curlCode: 35, SSL connect error; Details: OpenSSL SSL_connect: Connection reset by peer": None,
    "Connection refused": None,
    "password authentication failed": None,
    "hostname 'localhost' doesn't match 'server'": Fault.NAME,
    "hostname 'localhost' doesn't match either of 'server', 'other'": Fault.NAME,
    "Code: 42. DB::Exception: Number of arguments for function s3 doesn't match: passed 0, should be 1": None,
}


@pytest.mark.parametrize(("text", "fault"), TEXTS.items())
def test_each_librarys_words_are_understood(text: str, fault: Fault | None) -> None:
    assert fault_of(text) is fault


@pytest.mark.parametrize(
    ("remedies", "fields"),
    [
        (CLICKHOUSE, ("clickhouse.ca_file", "clickhouse.host", "clickhouse.port")),
        (STORE, ("store.ca_file", "store.endpoint", "store.endpoint")),
        (POSTGRES, ("sslrootcert in postgres.dsn", "host in postgres.dsn", "sslmode in postgres.dsn")),
        (KAFKA, ("ssl.ca.location in kafka.options", "kafka.bootstrap_servers", "security.protocol in kafka.options")),
    ],
)
def test_the_remedy_names_the_field_of_that_server(remedies: Remedies, fields: tuple[str, str, str]) -> None:
    texts = ("certificate verify failed", "Hostname mismatch", "wrong version number")
    for text, field in zip(texts, fields, strict=True):
        found = untrusted("it", text, remedies)
        assert found is not None
        assert field in found.remedy
        assert text in found.message


def test_a_server_that_is_not_trusted_halts_and_is_not_tried_again_and_again() -> None:
    assert UntrustedServerError.reaction is Reaction.HALT


def test_other_failures_are_left_to_those_who_know_them() -> None:
    assert untrusted("it", "Connection refused", KAFKA) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("AWS Error ACCESS_DENIED during PutObject operation: x", "allow them s3:PutObject on arn:aws:s3:::b/w/*"),
        ("AWS Error ACCESS_DENIED during HeadObject operation", "allow them s3:GetObject on arn:aws:s3:::b/w/*"),
        ("AWS Error ACCESS_DENIED during ListObjectsV2 operation", "allow them s3:ListBucket on arn:aws:s3:::b"),
        ("AWS Error ACCESS_DENIED during DeleteObject operation", "allow them s3:DeleteObject on arn:aws:s3:::b/w/*"),
        ("something else", "allow them put, get and delete"),
    ],
)
def test_a_refusal_of_the_store_names_the_action(text: str, wanted: str) -> None:
    assert wanted in remedy(text, "b", "w")
    assert "store.access_key" in remedy(text, "b", "w")
