"""The object store that holds tables: one FileIO for the process, and errors that say what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import structlog
from pyarrow.fs import AwsStandardS3RetryStrategy, FileSelector, S3FileSystem
from pyiceberg.io import S3_ENDPOINT, S3_FORCE_VIRTUAL_ADDRESSING, S3_REGION, FileIO, InputFile, OutputFile
from pyiceberg.io.pyarrow import PyArrowFileIO

from consumer.domain.encryption import STORE, untrusted
from consumer.domain.errors import AccessDeniedError, DivergenceError, StoreUnavailableError
from consumer.domain.store_error import StoreTrouble, passing, trouble_of
from consumer.domain.store_rights import remedy
from consumer.domain.stream import TableName
from consumer.settings.connections import StoreSettings

_log = structlog.get_logger(__name__)

_CONNECT_S = 5.0
_REQUEST_S = 30.0
_ATTEMPTS = 4
_PROBE_S = 2.0
"""Below what all probes of a process have together, so that it is the store's own error that is told."""
_NOWHERE = "_icehaul_reach"


class StoreFileIO(PyArrowFileIO):
    """PyIceberg's FileIO over one S3 client; thread-safe, pools its connections, meant to be shared."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        super().__init__(_properties(settings))

    def _initialize_s3_fs(self, netloc: str | None) -> S3FileSystem:  # noqa: ARG002 - one store holds all buckets
        return _client(self._settings, attempts=_ATTEMPTS, connect_s=_CONNECT_S, request_s=_REQUEST_S)


class StoreReach:
    """Asks the object store for what no folder holds: one request, by a client that neither waits nor tries again.

    It takes the right to list the warehouse, which every consumer has.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._files = _client(settings, attempts=1, connect_s=_PROBE_S, request_s=_PROBE_S)

    def check(self) -> None:
        """Return if the store answers, the keys are good and the bucket is there, whatever it holds.

        Raises:
            AccessDeniedError, UntrustedServerError, StoreUnavailableError: as :func:`store_errors` does.
        """
        settings = self._settings
        # Where nothing may be missing, a bucket that does not exist is told from a folder that does not.
        folders = filter(None, (settings.bucket, settings.prefix, _NOWHERE))
        nowhere = FileSelector("/".join(folders), allow_not_found=False)
        with suppress(FileNotFoundError), store_errors(settings, "asking whether it is there"):
            self._files.get_file_info(nowhere)


def _client(settings: StoreSettings, *, attempts: int, connect_s: float, request_s: float) -> S3FileSystem:
    secret = settings.secret_key
    return S3FileSystem(
        endpoint_override=settings.endpoint,
        access_key=settings.access_key,
        secret_key=None if secret is None else secret.get_secret_value(),
        region=settings.region,
        force_virtual_addressing=not settings.path_style,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=attempts),
        connect_timeout=connect_s,
        request_timeout=request_s,
        # A metadata file is small: one request instead of the three of a multipart upload.
        allow_delayed_open=True,
        tls_ca_file_path=settings.ca_file,
    )


def _properties(settings: StoreSettings) -> dict[str, str]:
    """Return the settings as PyIceberg's properties, for what looks at them instead of the client."""
    properties = {
        S3_REGION: settings.region,
        S3_FORCE_VIRTUAL_ADDRESSING: str(not settings.path_style).lower(),
    }
    if settings.endpoint is not None:
        properties[S3_ENDPOINT] = settings.endpoint
    return properties


@contextmanager
def store_errors(settings: StoreSettings, doing: str) -> Iterator[None]:
    """Translate what pyarrow raises while ``doing`` something.

    ``FileNotFoundError`` passes, because only the caller knows what a missing file means.

    Raises:
        AccessDeniedError: if the store refuses the keys, or the bucket does not exist.
        UntrustedServerError: if its certificate is refused, or it speaks no TLS.
        StoreUnavailableError: for everything else.
    """
    where = settings.endpoint or f"S3 in {settings.region}"
    try:
        yield
    except OSError as error:
        text = str(error)
        trouble = trouble_of(text)
        if trouble is StoreTrouble.NO_BUCKET:
            raise AccessDeniedError(
                f"store.bucket: the bucket {settings.bucket!r} does not exist at {where} (while {doing})",
                remedy=f"create the bucket {settings.bucket!r}, or correct store.bucket",
            ) from error
        if trouble is StoreTrouble.DENIED or isinstance(error, PermissionError):
            raise AccessDeniedError(
                f"store.access_key: {where} refuses access to the bucket {settings.bucket!r} (while {doing})",
                remedy=remedy(text, settings.bucket, settings.prefix),
            ) from error
        if isinstance(error, FileNotFoundError):
            raise
        if distrust := untrusted(f"the object store at {where} (while {doing})", _first_line(text), STORE):
            raise distrust from error
        said, advice = passing(text)
        raise StoreUnavailableError(
            f"the object store at {where} {said} (while {doing}): {_first_line(text)}", remedy=advice
        ) from error


@contextmanager
def table_errors(settings: StoreSettings, table: TableName, doing: str) -> Iterator[None]:
    """Translate what pyarrow raises while ``doing`` something with files that a table refers to.

    Raises:
        DivergenceError: if the store does not hold one of them.
        AccessDeniedError, StoreUnavailableError: as :func:`store_errors` does.
    """
    try:
        with store_errors(settings, doing):
            yield
    except FileNotFoundError as error:
        raise DivergenceError(
            f"the table {table} refers to a file that the store does not hold: {_first_line(str(error))}",
            remedy="find out who deleted it: another engine that wrote to the table may have"
            " (docs/explanation/jvm-jdbc-catalog.md); restore it, or roll the table back to the newest snapshot that is"
            " whole, then resume the stream",
        ) from error


def _first_line(text: str) -> str:
    return text.splitlines()[0][:500] if text else "no reason given"


class AttemptFiles(FileIO):
    """A FileIO that remembers what one attempt wrote, so that exactly that can be removed again."""

    def __init__(self, io: FileIO) -> None:
        super().__init__(io.properties)
        self._io = io
        self.written: list[str] = []

    def new_input(self, location: str) -> InputFile:
        """Open a file for reading."""
        return self._io.new_input(location)

    def new_output(self, location: str) -> OutputFile:
        """Open a file for writing, and remember it."""
        self.written.append(location)
        return self._io.new_output(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file."""
        self._io.delete(location)

    def discard(self) -> None:
        """Remove what was written, which nothing refers to."""
        remove(self._io, self.written)


def remove(io: FileIO, locations: Iterable[str]) -> None:
    """Remove files that nothing refers to; one that stays is an orphan and does no harm."""
    for location in locations:
        try:
            io.delete(location)
        except OSError as error:
            _log.info("file.left_behind", location=location, error=str(error))
