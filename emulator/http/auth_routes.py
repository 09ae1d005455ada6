"""Globus Auth over HTTP: discovery, the authorize page, tokens."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from emulator.auth import signing
from emulator.auth.scopes import AUTH
from emulator.auth.state import Token
from emulator.errors import AuthApiRefusal, OAuthRefusal
from emulator.world import World

from . import login_page
from .requests import bearer, json_response

_CODE_PAGE = "/v2/web/auth-code"


def auth_blueprint(world: World) -> Blueprint:
    """The routes of OAuth2 and OpenID Connect."""
    routes = Blueprint("auth", __name__)

    @routes.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        return json_response(_discovery(request.url_root.rstrip("/")))

    @routes.get("/jwk.json")
    def keys() -> Response:
        return json_response(signing.key_set())

    @routes.route("/v2/oauth2/authorize", methods=["GET", "POST"])
    def authorize() -> BaseResponse:
        return _authorize(world)

    @routes.get(_CODE_PAGE)
    def code_page() -> Response:
        code, error = request.args.get("code"), request.args.get("error")
        page = login_page.code_page(code) if code else login_page.error_page(error or "no code")
        return Response(page, content_type="text/html; charset=utf-8")

    @routes.post("/v2/oauth2/token")
    def token() -> Response:
        return json_response(_token(world))

    @routes.post("/v2/oauth2/token/validate")
    def validate() -> Response:
        _client(world)
        return json_response({"active": world.auth.active_token(request.form.get("token", "")) is not None})

    @routes.post("/v2/oauth2/token/revoke")
    def revoke() -> Response:
        _client(world)
        world.auth.revoke(request.form.get("token", ""))
        return json_response({"active": False})

    @routes.post("/v2/oauth2/token/introspect")
    def introspect() -> Response:
        _client(world)
        found = world.auth.active_token(request.form.get("token", ""))
        return json_response({"active": False} if found is None else _introspection(world, found))

    @routes.get("/v2/oauth2/userinfo")
    def userinfo() -> Response:
        person = world.auth.identity(auth_token(world).identity_id)
        entry = {
            "sub": person.id,
            "username": person.username,
            "name": person.name,
            "email": person.email,
            "organization": person.organization,
            "status": "used",
            "identity_provider": person.identity_provider,
            "identity_provider_display_name": "Emulated Globus ID",
        }
        names = {key: entry[key] for key in ("sub", "name", "email", "organization", "identity_provider")}
        names["identity_provider_display_name"] = entry["identity_provider_display_name"]
        names["preferred_username"] = person.username
        return json_response({**names, "identity_set": [entry]})

    return routes


def auth_token(world: World) -> Token:
    """The token a request to Auth itself carries.

    Raises:
        AuthApiRefusal: 401 UNAUTHORIZED (recorded), 403 FORBIDDEN for a token of another service (recorded).
    """
    found = world.auth.active_token(bearer() or "")
    if found is None or found.kind != "access":
        raise AuthApiRefusal(401, "UNAUTHORIZED", "Call must be authenticated", "Unauthorized")
    if found.resource_server != AUTH:
        raise AuthApiRefusal(403, "FORBIDDEN", "Call must be authenticated", "Unauthorized")
    return found


def basic_credentials() -> tuple[str | None, str | None]:
    """Client id and secret of the Authorization header."""
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None, None
    try:
        client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    return client_id, secret


def _client(world: World, *, needs_secret: bool = False) -> str:
    client_id, secret = basic_credentials()
    return world.auth.check_client(client_id or request.form.get("client_id"), secret, needs_secret=needs_secret)


def _discovery(base: str) -> dict[str, Any]:
    """The discovery document: keys and values of the real one, with addresses of the emulator."""
    return {
        "issuer": "https://auth.globus.org",
        "authorization_endpoint": f"{base}/v2/oauth2/authorize",
        "userinfo_endpoint": f"{base}/v2/oauth2/userinfo",
        "token_endpoint": f"{base}/v2/oauth2/token",
        "revocation_endpoint": f"{base}/v2/oauth2/token/revoke",
        "jwks_uri": f"{base}/jwk.json",
        "response_types_supported": ["code", "token", "token id_token", "id_token"],
        "id_token_signing_alg_values_supported": [signing.ALGORITHM],
        "scopes_supported": ["openid", "email", "profile"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "claims_supported": [
            "at_hash",
            "aud",
            "email",
            "exp",
            "name",
            "nonce",
            "preferred_username",
            "iat",
            "iss",
            "sub",
        ],
        "subject_types_supported": ["public"],
    }


def _authorize(world: World) -> BaseResponse:
    """Let the person at the browser consent, and send the code where the client wants it."""
    args = request.args
    client_id, redirect_uri = args.get("client_id"), args.get("redirect_uri")
    if not client_id or not redirect_uri or client_id in world.auth.deleted_clients:
        return _error_page("Unknown client or missing redirect_uri")
    if args.get("response_type") != "code":
        return _error_page("Unsupported response_type")
    if args.get("code_challenge") and args.get("code_challenge_method", "plain") != "S256":
        return _error_page("Unsupported code_challenge_method")
    try:
        scopes = world.auth.checked_scopes(args.get("scope", ""))
    except OAuthRefusal as refusal:
        return _error_page(refusal.description or refusal.error)
    if world.auth.is_login_required and request.method == "GET":
        person = world.auth.identity(world.auth.person_at_the_browser)
        page = login_page.login_page(person.username, [scope.name for scope in scopes])
        return Response(page, content_type="text/html; charset=utf-8")
    state = {"state": args["state"]} if "state" in args else {}
    if world.auth.are_consents_refused:
        refused = {"error": "access_denied", "error_description": "The person denied consent"}
        return redirect(_with_query(redirect_uri, {**refused, **state}))
    code = world.auth.authorize(
        client_id=client_id,
        redirect_uri=redirect_uri,
        scopes=scopes,
        challenge=args.get("code_challenge"),
        is_offline=args.get("access_type") == "offline",
        state=args.get("state"),
        is_fresh_login=args.get("prompt") == "login" or any(name.startswith("session_required") for name in args),
    )
    return redirect(_with_query(redirect_uri, {"code": code, **state}))


def _with_query(uri: str, parameters: dict[str, str]) -> str:
    return uri + ("&" if "?" in uri else "?") + urlencode(parameters)


def _error_page(message: str) -> Response:
    return Response(login_page.error_page(message), status=400, content_type="text/html; charset=utf-8")


def _token(world: World) -> Any:
    form = request.form
    grant_type = form.get("grant_type")
    if grant_type == "authorization_code":
        client_id = _client(world)
        return world.auth.redeem_code(
            form.get("code", ""),
            client_id=client_id,
            redirect_uri=form.get("redirect_uri", ""),
            verifier=form.get("code_verifier"),
        )
    if grant_type == "refresh_token":
        return world.auth.refresh(form.get("refresh_token", ""), client_id=_client(world))
    if grant_type == "client_credentials":
        client_id = _client(world, needs_secret=True)
        scopes = world.auth.checked_scopes(form.get("scope", ""))
        world.auth.consents.grant(client_id, client_id, scopes, at=world.clock.now(), allows_refresh=False)
        return world.auth.grant(client_id, client_id, scopes, is_offline=False)
    if grant_type == "urn:globus:auth:grant_type:dependent_token":
        return _dependent_tokens(world, _client(world, needs_secret=True))
    raise OAuthRefusal(400, "unsupported_grant_type")


def _dependent_tokens(world: World, client_id: str) -> list[dict[str, Any]]:
    """Tokens for what a token's scopes depend on (recorded shape: a list)."""
    token = world.auth.active_token(request.form.get("token", ""))
    if token is None:
        raise OAuthRefusal(401, "invalid_grant")
    scopes = [dependency for scope in token.scopes for dependency in scope.dependencies]
    if request.form.get("scope"):
        scopes = world.auth.checked_scopes(request.form["scope"])
    if not scopes:
        return []
    is_offline = request.form.get("access_type") == "offline"
    response = world.auth.grant(client_id, token.identity_id, scopes, is_offline=is_offline)
    others = response.pop("other_tokens")
    response.pop("id_token", None)
    return [response, *others]


def _introspection(world: World, token: Token) -> dict[str, Any]:
    """The document of token introspection (recorded)."""
    person = world.auth.identity(token.identity_id)
    begin = int(token.made_at.timestamp())
    document: dict[str, Any] = {
        "active": True,
        "token_type": "Bearer",
        "scope": token.scope_names,
        "client_id": token.client_id,
        "username": person.username,
        "name": person.name,
        "email": person.email,
        "exp": begin + token.lifetime_seconds,
        "iat": begin,
        "nbf": begin,
        "sub": person.id,
        "aud": [token.resource_server, token.client_id],
        "iss": "https://auth.globus.org",
    }
    included = request.form.get("include", "")
    if "identity_set" in included:
        document["identity_set"] = [person.id]
    if "session_info" in included:
        entry: dict[str, Any] = {
            "acr": None,
            "amr": None,
            "idp": person.identity_provider,
            "auth_time": begin,
            "custom_claims": {},
        }
        document["session_info"] = {"session_id": None, "authentications": {person.id: entry}}
    return document
