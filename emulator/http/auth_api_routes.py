"""Globus Auth over HTTP: identities, consents, clients."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from emulator.auth.scopes import scope_id
from emulator.auth.state import Client, Person
from emulator.errors import AuthApiRefusal
from emulator.world import World

from .auth_routes import auth_token, basic_credentials
from .requests import json_body, json_response


def auth_api_blueprint(world: World) -> Blueprint:
    """The routes below /v2/api."""
    routes = Blueprint("auth_api", __name__, url_prefix="/v2/api")

    @routes.get("/identities")
    def identities() -> Response:
        _authenticate(world)
        return json_response({"identities": _identities(world)})

    @routes.get("/identities/<identity_id>/consents")
    def consents(identity_id: str) -> Response:
        token = auth_token(world)
        if token.identity_id != identity_id:
            raise AuthApiRefusal(403, "FORBIDDEN", "Call must be authenticated", "Unauthorized")
        is_all = request.args.get("all", "false").lower() in ("true", "1")
        found = world.auth.consents.of(identity_id, None if is_all else token.client_id)
        return json_response({"consents": [consent.document() for consent in found]})

    @routes.post("/clients")
    def create_client() -> Response:
        body = json_body()
        wanted = body.get("client") if isinstance(body, dict) else None
        if not isinstance(wanted, dict) or not isinstance(wanted.get("name"), str):
            raise AuthApiRefusal(400, "BAD_REQUEST", "A client needs a name", "Bad Request")
        is_public = wanted.get("public_client") is True or wanted.get("client_type") == "public_installed_client"
        template_id = wanted.get("template_id")
        attributes = {key: value for key, value in wanted.items() if key != "template_id"}
        client = world.auth.register_client(
            wanted["name"], parent_id=template_id, is_public=is_public, attributes=attributes
        )
        return json_response(_creation(client), 201)

    @routes.get("/clients/<client_id>")
    def get_client(client_id: str) -> Response:
        _authenticate(world)
        return json_response({"client": client_document(_known_client(world, client_id))})

    @routes.delete("/clients/<client_id>")
    def delete_client(client_id: str) -> Response:
        _authenticate(world)
        document = client_document(_known_client(world, client_id))
        world.auth.delete_client(client_id)
        return json_response({"client": document})

    return routes


def _authenticate(world: World) -> None:
    """Let a client's own credentials or a token of Auth in."""
    client_id, secret = basic_credentials()
    if client_id is None:
        auth_token(world)
    else:
        world.auth.check_client(client_id, secret)


def _known_client(world: World, client_id: str) -> Client:
    known = world.auth.clients.get(client_id)
    if known is None:
        raise AuthApiRefusal(404, "NOT_FOUND", "Client could not be found", "Not Found")
    return known


def _identities(world: World) -> list[dict[str, Any]]:
    ids = [each for each in request.args.get("ids", "").split(",") if each]
    usernames = [each for each in request.args.get("usernames", "").split(",") if each]
    people = world.auth.people
    by_name = {person.username: person for person in people.values()}
    # A service identity is known by its client's id: there is no list of clients to look it up in.
    found = [people.get(each) or world.auth.identity(each) for each in ids]
    found += [by_name[each] for each in usernames if each in by_name]
    return [identity_document(person) for person in found]


def identity_document(person: Person) -> dict[str, Any]:
    """An identity (recorded)."""
    return {
        "id": person.id,
        "username": person.username,
        "name": person.name,
        "email": person.email,
        "status": "used",
        "organization": person.organization,
        "identity_provider": person.identity_provider,
        "identity_type": "login",
    }


def client_document(client: Client) -> dict[str, Any]:
    """A client (recorded)."""
    grants = ["authorization_code", "refresh_token"]
    if not client.is_public:
        grants.insert(1, "client_credentials")
    return {
        "id": client.id,
        "name": client.name,
        "public_client": client.is_public,
        "client_type": "public_installed_client" if client.is_public else "confidential_client",
        "grant_types": grants,
        "parent_client": client.parent_id,
        "fqdns": [],
        "scopes": [],
        "redirect_uris": [],
        "required_idp": None,
        "preselect_idp": None,
        "project": None if client.parent_id else scope_id(client.id),
        "visibility": "private",
        "userinfo_from_effective_identity": True,
        "prompt_for_named_grant": False,
        "links": {"privacy_policy": None, "terms_and_conditions": None},
        **client.attributes,
    }


def _creation(client: Client) -> dict[str, Any]:
    document: dict[str, Any] = {"client": client_document(client)}
    if client.secret is not None:
        document["included"] = {
            "client_credential": {
                "name": "Auto-created at client creation",
                "id": client.id,
                "client": client.id,
                "secret": client.secret,
            }
        }
    return document
