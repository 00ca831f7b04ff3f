"""Credentials of the object store for the tasks of one batch: those of the settings, or some that expire.

With ``store.task_role`` the keys of the settings never leave this process. Each job gets credentials of its own, from
the store's STS (AssumeRole), which may write, read and delete in the batch's own folder and nowhere else; for a rewrite
they may read what lies under the table, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any
from uuid import UUID

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from consumer.adapters.spark.access import store_access
from consumer.domain.encryption import STORE, untrusted
from consumer.domain.errors import AccessDeniedError, EngineFailedError, StoreUnavailableError
from consumer.settings.connections import StoreSettings
from spark.object_store import key_of
from spark.unit_task import StoreAccess, UnitOutcome

_ACTIONS = ("s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
"""Deleting is for what a failed attempt has begun, and for ClickHouse's raw file of an export."""
_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 10.0
_ATTEMPTS_MAX = 3
_DENIED = frozenset({401, 403})
_SKEW_NS = 30 * 10**9
"""By how much the clocks of store and workers may differ."""
_SAID_EXPIRED = ("ExpiredToken", "EXPIRED_TOKEN", "RequestExpired", "REQUEST_EXPIRED")


class TaskCredentials:
    """Gives each job its way to the store; several threads may ask at once."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._own = store_access(settings)

    def for_job(self, batch: UUID, prefix: str, readable: str | None = None) -> StoreAccess:
        """Return how the tasks of a job reach the store.

        Args:
            batch: the job's batch.
            prefix: URI of the folder that they write to.
            readable: URI of the folder below which they read besides; ``None`` for nothing.

        Raises:
            AccessDeniedError: if the role may not be assumed.
            UntrustedServerError: if the certificate of the STS is refused.
            StoreUnavailableError: if the STS does not answer.
        """
        role = self._settings.task_role
        if role is None:
            return self._own
        try:
            answer = self._sts.assume_role(
                RoleArn=role,
                RoleSessionName=f"icehaul-{batch}",
                DurationSeconds=self._settings.task_credentials_seconds,
                Policy=_policy(role, prefix, readable),
            )["Credentials"]
        except (ClientError, BotoCoreError) as error:
            raise self._refused(role, error) from error
        return replace(
            self._own,
            access_key=answer["AccessKeyId"],
            secret_key=answer["SecretAccessKey"],
            session_token=answer["SessionToken"],
            expires_ns=int(answer["Expiration"].timestamp() * 1e9),
        )

    @cached_property
    def _sts(self) -> Any:  # noqa: ANN401 - made at run time, without types
        # A tenth of a second and 26 MiB: only where a role is assumed.
        import boto3  # noqa: PLC0415

        return boto3.client(
            "sts",
            endpoint_url=self._settings.sts_endpoint or self._settings.endpoint,
            region_name=self._own.region,
            aws_access_key_id=self._own.access_key,
            aws_secret_access_key=self._own.secret_key,
            verify=self._own.ca_file,
            config=Config(
                connect_timeout=_CONNECT_TIMEOUT_S,
                read_timeout=_READ_TIMEOUT_S,
                retries={"max_attempts": _ATTEMPTS_MAX, "mode": "standard"},
            ),
        )

    def _refused(self, role: str, error: ClientError | BotoCoreError) -> Exception:
        text = str(error)
        if distrust := untrusted("the STS of the object store", text, STORE):
            return distrust
        status = error.response["ResponseMetadata"].get("HTTPStatusCode") if isinstance(error, ClientError) else None
        if status in _DENIED:
            return AccessDeniedError(
                f"store.task_role: {role} can't be assumed: {text}",
                remedy="allow store.access_key sts:AssumeRole on the role, and name it in the role's trust policy",
            )
        return StoreUnavailableError(
            f"store.task_role: {role} could not be assumed: {text}",
            remedy="check store.sts_endpoint, and that store.task_credentials_seconds is not longer than the role"
            " allows; it is tried again",
        )


def _policy(role: str, prefix: str, readable: str | None) -> str:
    # China and the government's clouds have other words than aws in the second place.
    partition = role.split(":")[1]
    resource = f"arn:{partition}:s3:::{key_of(prefix)}/*"
    statements = [{"Effect": "Allow", "Action": list(_ACTIONS), "Resource": [resource]}]
    if readable is not None:
        below = f"arn:{partition}:s3:::{key_of(readable)}/*"
        statements.append({"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [below]})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def outlived(access: StoreAccess, outcomes: Iterable[UnitOutcome]) -> frozenset[int]:
    """Return the units that failed because their job's credentials had expired: they can be written with new ones."""
    if access.expires_ns is None:
        return frozenset()
    end_ns = access.expires_ns - _SKEW_NS
    return frozenset(
        outcome.unit
        for outcome in outcomes
        if isinstance(outcome.error, (AccessDeniedError, StoreUnavailableError))
        and (outcome.ended_ns >= end_ns or any(word in outcome.error.message for word in _SAID_EXPIRED))
    )


def too_long(batch: UUID, units: Sequence[int]) -> EngineFailedError:
    """Return the error where not a single unit of a job could be written before its credentials expired."""
    return EngineFailedError(
        f"the store's credentials for batch {batch} expired before any of its units {list(units)} was written",
        remedy="raise store.task_credentials_seconds, or lower batch.unit_rows of the stream",
    )
