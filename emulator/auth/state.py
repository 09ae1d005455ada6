"""People, clients, authorization codes and tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from emulator.clock import Clock
from emulator.errors import AuthApiRefusal, OAuthRefusal

from . import signing
from .consents import Consents
from .scopes import AUTH, Scope, ScopeError, merge_scopes, parse_scopes, resource_server_of

ACCESS_TOKEN_LIFETIME_SECONDS = 172_800  # recorded
CODE_LIFETIME_SECONDS = 600  # assumed
REFRESH_TOKEN_UNUSED_DAYS = 180  # documented: "six months"


@dataclass(frozen=True)
class Person:
    """One identity: a person, or a client in its own name."""

    id: str
    username: str
    name: str
    email: str | None
    organization: str = "Example Institute"
    identity_provider: str = "41143743-f3c8-4d60-bbdb-eeecaba85bd9"


RESEARCHER = Person(
    id="6ea9b8a4-3b2d-4c5e-9a61-0d5b7c1f2e30",
    username="researcher@example.org",
    name="Robin Researcher",
    email="researcher@example.org",
)


@dataclass
class Client:
    """An application known by registration; others are accepted as they come."""

    id: str
    name: str
    secret: str | None
    is_public: bool = False
    parent_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Code:
    """An authorization code on its way from the browser to the client."""

    client_id: str
    redirect_uri: str
    scopes: tuple[Scope, ...]
    challenge: str | None
    is_offline: bool
    state: str | None
    identity_id: str
    made_at: datetime


@dataclass
class Token:
    """An access or refresh token for one resource server."""

    value: str
    kind: str  # "access" or "refresh"
    client_id: str
    identity_id: str
    resource_server: str
    scopes: tuple[Scope, ...]
    made_at: datetime
    used_at: datetime
    lifetime_seconds: int
    is_revoked: bool = False

    @property
    def scope_names(self) -> str:
        """The root scopes, as the `scope` field of a token response lists them."""
        return " ".join(scope.name for scope in self.scopes)


@dataclass(frozen=True)
class Caller:
    """Who makes a request of Transfer: the identity and the client its token speaks for.

    `through` holds the scopes that lead from the client to Transfer when a service asks on somebody's behalf.
    """

    identity_id: str
    client_id: str
    through: tuple[str, ...] = ()


@dataclass
class AuthState:
    """Everything Globus Auth remembers.

    `is_known_collection_scope` says whether a collection has a data_access (or https) scope; all else that looks like
    a Globus scope is known.
    """

    clock: Clock
    is_known_collection_scope: Callable[[str, str], bool]
    people: dict[str, Person] = field(default_factory=lambda: {RESEARCHER.id: RESEARCHER})
    clients: dict[str, Client] = field(default_factory=dict)
    deleted_clients: set[str] = field(default_factory=set)
    codes: dict[str, Code] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    consents: Consents = field(default_factory=Consents)
    access_token_lifetime_seconds: int = ACCESS_TOKEN_LIFETIME_SECONDS
    are_consents_refused: bool = False
    is_login_required: bool = False
    session_expired: set[str] = field(default_factory=set)
    person_at_the_browser: str = RESEARCHER.id

    # --- scopes -----------------------------------------------------------------------------------------------------

    def checked_scopes(self, text: str) -> list[Scope]:
        """The scopes a client asks for.

        Raises:
            OAuthRefusal: A scope is malformed, or "Unknown Scope" (documented for data_access on the wrong kind).
        """
        try:
            scopes = parse_scopes(text)
        except ScopeError as error:
            raise OAuthRefusal(400, "invalid_scope", str(error)) from None
        if not scopes:
            raise OAuthRefusal(400, "invalid_scope", "No scope was asked for")
        self._check_known(scopes)
        return scopes

    def _check_known(self, scopes: Sequence[Scope]) -> None:
        for scope in scopes:
            server = resource_server_of(scope.name)
            kind = scope.name.rpartition("/")[2]
            if server is None or (
                kind in ("data_access", "https") and not self.is_known_collection_scope(server, kind)
            ):
                raise OAuthRefusal(400, "unknown_scope", f"Unknown Scope: {scope.name}")
            self._check_known(scope.dependencies)

    # --- clients ----------------------------------------------------------------------------------------------------

    def check_client(self, client_id: str | None, secret: str | None, *, needs_secret: bool = False) -> str:
        """The id of the client that calls: any id with any secret, unless it was registered here.

        Raises:
            OAuthRefusal: invalid_client: no id, no secret where one is needed, or a deleted client (assumed).
            AuthApiRefusal: 401 UNAUTHORIZED: a wrong secret (observed: ssl-hep/ServiceX, issue 841).
        """
        if not client_id or client_id in self.deleted_clients or (needs_secret and not secret):
            raise OAuthRefusal(401, "invalid_client")
        known = self.clients.get(client_id)
        if known is not None and known.secret is not None and secret != known.secret:
            raise AuthApiRefusal(401, "UNAUTHORIZED", "Basic auth failed", "Unauthorized")
        return client_id

    def register_client(
        self, name: str, *, parent_id: str | None, is_public: bool = False, attributes: Mapping[str, Any] | None = None
    ) -> Client:
        """A new client with a secret of its own (none for a public one); `attributes` are kept for its document."""
        secret = None if is_public else base64.b64encode(secrets.token_bytes(32)).decode()
        client = Client(str(uuid.uuid4()), name, secret, is_public, parent_id, dict(attributes or {}))
        self.clients[client.id] = client
        return client

    def delete_client(self, client_id: str) -> Client:
        """Remove a client; its tokens and consents die with it."""
        client = self.clients.pop(client_id, None) or Client(client_id, client_id, None)
        self.deleted_clients.add(client_id)
        self.consents.forget_client(client_id)
        for token in self.tokens.values():
            if token.client_id == client_id:
                token.is_revoked = True
        return client

    def identity(self, identity_id: str) -> Person:
        """The person behind an id; a client's own id stands for its service identity."""
        known = self.people.get(identity_id)
        if known is not None:
            return known
        username = f"{identity_id}@clients.auth.globus.org"
        return Person(identity_id, username, self._client_name(identity_id), None)

    def _client_name(self, client_id: str) -> str:
        known = self.clients.get(client_id)
        return known.name if known else "Service identity"

    # --- codes ------------------------------------------------------------------------------------------------------

    def authorize(
        self,
        *,
        client_id: str,
        redirect_uri: str,
        scopes: Sequence[Scope],
        challenge: str | None,
        is_offline: bool,
        state: str | None,
        is_fresh_login: bool,
    ) -> str:
        """A new authorization code; the person at the browser consents to all of it."""
        if is_fresh_login:
            self.session_expired.clear()
        identity_id = self.person_at_the_browser
        self.consents.grant(identity_id, client_id, scopes, at=self.clock.now(), allows_refresh=is_offline)
        code = secrets.token_urlsafe(22)
        self.codes[code] = Code(
            client_id, redirect_uri, tuple(scopes), challenge, is_offline, state, identity_id, self.clock.now()
        )
        return code

    def redeem_code(self, code: str, *, client_id: str, redirect_uri: str, verifier: str | None) -> dict[str, Any]:
        """The tokens for a code, which is spent by the attempt.

        Raises:
            OAuthRefusal: invalid_grant: unknown, spent or old code, or another client, redirect_uri or challenge.
        """
        issued = self.codes.pop(code, None)
        if issued is None or issued.client_id != client_id or issued.redirect_uri != redirect_uri:
            raise OAuthRefusal(401, "invalid_grant")  # 401 is recorded
        is_old = self.clock.now() - issued.made_at > timedelta(seconds=CODE_LIFETIME_SECONDS)
        if is_old or not _answers(issued.challenge, verifier):
            raise OAuthRefusal(401, "invalid_grant")
        response = self.grant(client_id, issued.identity_id, issued.scopes, is_offline=issued.is_offline)
        response["state"] = issued.state
        return response

    # --- tokens -----------------------------------------------------------------------------------------------------

    def grant(self, client_id: str, identity_id: str, scopes: Sequence[Scope], *, is_offline: bool) -> dict[str, Any]:
        """A token response with one token for each resource server, Auth's first (recorded shape)."""
        by_server: dict[str, list[Scope]] = {}
        for scope in merge_scopes(scopes):
            by_server.setdefault(resource_server_of(scope.name) or scope.name, []).append(scope)
        servers = sorted(by_server, key=lambda server: server != AUTH)
        documents = [
            self.token_document(client_id, identity_id, server, by_server[server], is_offline=is_offline)
            for server in servers
        ]
        response = {**documents[0], "other_tokens": documents[1:]}
        if any(scope.name == "openid" for scope in scopes):
            response["id_token"] = self.id_token(client_id, identity_id, response["access_token"])
        return response

    def token_document(
        self, client_id: str, identity_id: str, server: str, scopes: Sequence[Scope], *, is_offline: bool
    ) -> dict[str, Any]:
        """A new access token (and refresh token, when offline) for one resource server."""
        access = self._new_token("access", client_id, identity_id, server, scopes)
        document = {
            "access_token": access.value,
            "scope": access.scope_names,
            "expires_in": access.lifetime_seconds,
            "token_type": "Bearer",
            "resource_server": server,
        }
        if is_offline:
            document["refresh_token"] = self._new_token("refresh", client_id, identity_id, server, scopes).value
        return document

    def _new_token(self, kind: str, client_id: str, identity_id: str, server: str, scopes: Sequence[Scope]) -> Token:
        now = self.clock.now()
        lifetime_seconds = self.access_token_lifetime_seconds
        if kind == "refresh":
            lifetime_seconds = REFRESH_TOKEN_UNUSED_DAYS * 86_400
        value = "Ag" + secrets.token_urlsafe(30)
        token = Token(value, kind, client_id, identity_id, server, tuple(scopes), now, now, lifetime_seconds)
        self.tokens[value] = token
        return token

    def refresh(self, value: str, *, client_id: str) -> dict[str, Any]:
        """Exactly one new access token, with the refresh token repeated: the SDK insists on both.

        Raises:
            OAuthRefusal: invalid_grant with 400 (observed) for a revoked, unknown, unused or foreign token.
        """
        token = self.active_token(value)
        if token is None or token.kind != "refresh" or token.client_id != client_id:
            raise OAuthRefusal(400, "invalid_grant")
        token.used_at = self.clock.now()
        document = self.token_document(
            client_id, token.identity_id, token.resource_server, token.scopes, is_offline=False
        )
        return {**document, "refresh_token": token.value, "other_tokens": []}

    def active_token(self, value: str) -> Token | None:
        """The token, if it exists, is not revoked and has time left: by its birth, or (refresh) its last use."""
        token = self.tokens.get(value)
        if token is None or token.is_revoked:
            return None
        since = token.used_at if token.kind == "refresh" else token.made_at
        is_alive = self.clock.now() < since + timedelta(seconds=token.lifetime_seconds)
        return token if is_alive else None

    def revoke(self, value: str) -> None:
        """Make a token useless; with a refresh token its access tokens go too (documented)."""
        token = self.tokens.get(value)
        if token is None:
            return
        token.is_revoked = True
        if token.kind == "refresh":
            for other in self.tokens.values():
                same = (other.client_id, other.identity_id, other.resource_server)
                if same == (token.client_id, token.identity_id, token.resource_server):
                    other.is_revoked = True

    def revoke_all(self, kind: str) -> None:
        """Make every token of a kind useless."""
        for token in self.tokens.values():
            if token.kind == kind:
                token.is_revoked = True

    def rescind_consents(self) -> None:
        """Withdraw every consent; all tokens rest on consents and die too."""
        self.consents.clear()
        self.revoke_all("access")
        self.revoke_all("refresh")

    def expire_access_tokens(self) -> None:
        """Let the time of every access token run out."""
        for token in self.tokens.values():
            if token.kind == "access":
                token.lifetime_seconds = 0

    def id_token(self, client_id: str, identity_id: str, access_token: str) -> str:
        """A signed statement of who logged in, for one client. Claims as the real discovery document lists them."""
        person = self.identity(identity_id)
        digest = hashlib.sha512(access_token.encode()).digest()
        return signing.sign(
            {
                "iss": "https://auth.globus.org",
                "aud": client_id,
                "sub": person.id,
                "name": person.name,
                "email": person.email,
                "preferred_username": person.username,
                "organization": person.organization,
                "at_hash": base64.urlsafe_b64encode(digest[:32]).rstrip(b"=").decode(),
                **signing.id_token_times(ACCESS_TOKEN_LIFETIME_SECONDS),
            }
        )


def _answers(challenge: str | None, verifier: str | None) -> bool:
    """Whether a PKCE verifier answers the challenge (S256); without a challenge there is nothing to answer."""
    if challenge is None:
        return True
    digest = hashlib.sha256((verifier or "").encode()).digest()
    return secrets.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)
