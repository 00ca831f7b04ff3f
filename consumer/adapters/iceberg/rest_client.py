"""PyIceberg's REST catalog as a client with bounds: time-outs, our own certificate authority, no retries of its own."""

from __future__ import annotations

from typing import Any

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.rest.auth import AuthManager
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from consumer.settings.connections import CatalogSettings

_DELEGATION = "X-Iceberg-Access-Delegation"


class RestClient(RestCatalog):
    """One client for the process; the first call of its constructor asks the server for its configuration."""

    def __init__(self, settings: CatalogSettings) -> None:
        self._bounds = (settings.connect_timeout_seconds, settings.timeout_seconds)
        super().__init__(settings.name, **_properties(settings))

    def _create_session(self) -> Session:
        session = super()._create_session()
        self._bound(session)
        return session

    def _create_legacy_oauth2_auth_manager(self, session: Session) -> AuthManager:
        # The parent asks for a token right here, before it hands the session out.
        self._bound(session)
        return super()._create_legacy_oauth2_auth_manager(session)

    def _config_headers(self, session: Session) -> None:
        super()._config_headers(session)
        if f"header.{_DELEGATION}" not in self.properties:
            # Files are read and written with the keys of `store`: a server need not make up others for us.
            session.headers.pop(_DELEGATION, None)

    def _bound(self, session: Session) -> None:
        if not isinstance(session.get_adapter(self.uri), _Bounded):
            for scheme in ("http://", "https://"):
                session.mount(scheme, _Bounded(self._bounds))


class _Bounded(HTTPAdapter):
    """Gives every request that names none a time-out; never sends one twice."""

    def __init__(self, bounds: tuple[float, float]) -> None:
        super().__init__(max_retries=0)
        self._bounds = bounds

    def send(self, request: PreparedRequest, **options: Any) -> Response:  # type: ignore[override] # noqa: ANN401
        if options.get("timeout") is None:
            options["timeout"] = self._bounds
        return super().send(request, **options)


def _properties(settings: CatalogSettings) -> dict[str, Any]:
    given = {
        "uri": settings.uri,
        "warehouse": settings.warehouse,
        "scope": settings.scope,
        "credential": None if settings.credential is None else settings.credential.get_secret_value(),
        "token": None if settings.token is None else settings.token.get_secret_value(),
        # Named always: PyIceberg warns where it has to guess.
        "oauth2-server-uri": settings.oauth2_server_uri or f"{(settings.uri or '').rstrip('/')}/v1/oauth/tokens",
        "ssl": None if settings.ca_file is None else {"cabundle": settings.ca_file},
    }
    secrets = {name: value.get_secret_value() for name, value in settings.secret_properties.items()}
    return {**settings.properties, **secrets, **{name: value for name, value in given.items() if value is not None}}
