"""A person's login, stored as the SDK stores it, so that no browser is needed."""

from __future__ import annotations

import uuid
from contextlib import closing

from globus_sdk.token_storage import SQLiteTokenStorage, TokenStorageData
from suite import Route

SCOPES = {
    "transfer.api.globus.org": "urn:globus:auth:scope:transfer.api.globus.org:all",
    "auth.globus.org": "openid profile email",
}


def store_login(route: Route) -> None:
    """Give the route a person's login in place of its service account; its access tokens have expired."""
    route.settings.pop("CLIENT_SECRET_FILE", None)
    path = route.code_path / "tokens.db"
    with closing(SQLiteTokenStorage(str(path))) as storage:
        storage.store_token_data_by_resource_server(
            {
                server: TokenStorageData(
                    resource_server=server,
                    identity_id=str(uuid.UUID(int=5)),
                    scope=scope,
                    access_token="old",
                    refresh_token="kept",
                    expires_at_seconds=1,
                    token_type="Bearer",
                )
                for server, scope in SCOPES.items()
            }
        )
    path.chmod(0o600)
    route.configure()
