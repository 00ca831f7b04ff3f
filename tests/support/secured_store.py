"""The object store with TLS on its S3 port, and identities that may do what their policies say."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

from consumer.embedded.component import NotReadyError
from consumer.embedded.endpoints import StoreEndpoint
from consumer.embedded.object_store import ObjectStore, StorePorts
from consumer.embedded.ports import LOOPBACK, free_ports
from consumer.embedded.process import Launch
from tests.support.certificates import Authority, Certificate

BUCKET = "icehaul"


class SecuredStore(ObjectStore):
    """SeaweedFS, which reads policies in Amazon's language; ``policies`` are theirs, by the identity's name."""

    def __init__(self, home: Path, authority: Authority, certificate: Certificate, policies: Mapping[str, str]) -> None:
        home.mkdir(parents=True, exist_ok=True)
        ports = StorePorts(*free_ports(9))
        endpoint = StoreEndpoint(
            endpoint=f"https://{LOOPBACK}:{ports.s3}",
            bucket=BUCKET,
            access_key="ADMIN",
            secret_key=secrets.token_urlsafe(24),
            region="us-east-1",
        )
        super().__init__(home, home / "store.log", endpoint=endpoint, ports=ports, table_bucket="unused")
        self.endpoint = endpoint
        self.ca_file = str(authority.certificate)
        self._certificate = certificate
        self._policies = policies
        self.secret_keys = {name: secrets.token_urlsafe(24) for name in policies}

    def access(self) -> dict[str, Any]:
        identities = [
            {
                "name": name,
                "credentials": [{"accessKey": name.upper(), "secretKey": self.secret_keys[name]}],
                "policyNames": [name],
            }
            for name in self._policies
        ]
        policies = [{"name": name, "content": content} for name, content in self._policies.items()]
        return {"identities": [*super().access()["identities"], *identities], "policies": policies}

    def launch(self) -> Launch:
        launch = super().launch()
        files = (f"-s3.cert.file={self._certificate.certificate}", f"-s3.key.file={self._certificate.key}")
        return replace(launch, argv=(*launch.argv, "-s3.port.iceberg=0", *files))

    def probe(self) -> None:
        try:
            store = self.client()
            store.create_dir(BUCKET, recursive=False)
            with store.open_output_stream(f"{BUCKET}/probe") as out:
                out.write(b"probe")
        except OSError as error:
            raise NotReadyError(str(error)) from error

    def as_identity(self, name: str) -> S3FileSystem:
        """A client with the keys of an identity."""
        return S3FileSystem(
            access_key=name.upper(),
            secret_key=self.secret_keys[name],
            endpoint_override=self.endpoint.endpoint,
            region=self.endpoint.region,
            tls_ca_file_path=self.ca_file,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),
            allow_delayed_open=True,
        )
