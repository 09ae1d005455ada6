"""Globus Transfer over HTTP: collections, and operations on their files."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from flask import Blueprint, Response, request

from emulator.auth.state import RESEARCHER, Caller
from emulator.errors import bad_request
from emulator.transfer import documents, listing
from emulator.transfer.collection import Collection, check_path
from emulator.transfer.filters import ordered, parse_filter
from emulator.world import World

from .requests import bearer, json_body, json_response, number, page

_FILE_FILTERS = {
    "name": "pattern",
    "type": "exact",
    "size": "number",
    "last_modified": "time",
    "permissions": "exact",
    "user": "exact",
    "group": "exact",
}
_LS_LIMIT = 100_000  # documented: the most one listing holds


def file_blueprint(world: World) -> Blueprint:
    """The routes below /v0.10 that are about collections and files."""
    routes = Blueprint("files", __name__, url_prefix="/v0.10")

    def caller() -> Caller:
        return world.transfer_caller(bearer())

    def usable(collection_id: str) -> Collection:
        return world.usable_collection(collection_id, caller())

    def render(collection: Collection) -> dict[str, Any]:
        return documents.endpoint_document(collection, RESEARCHER.id, RESEARCHER.username)

    @routes.get("/endpoint/<collection_id>")
    def endpoint(collection_id: str) -> Response:
        caller()
        return json_response(render(world.collection(collection_id)))

    @routes.get("/endpoint_search")
    def endpoint_search() -> Response:
        caller()
        found = _search(world.collections.values())
        answer = page("endpoint_list", found, render, default_limit=100)
        answer["has_next_page"] = answer["offset"] + answer["length"] < len(found)
        return json_response(answer)

    @routes.get("/operation/endpoint/<collection_id>/ls")
    def ls(collection_id: str) -> Response:
        return json_response(_ls(usable(collection_id)))

    @routes.get("/operation/endpoint/<collection_id>/stat")
    def stat(collection_id: str) -> Response:
        return json_response(listing.stat_path(usable(collection_id), request.args.get("path") or "/~/"))

    @routes.post("/operation/endpoint/<collection_id>/mkdir")
    def mkdir(collection_id: str) -> Response:
        listing.make_directory(usable(collection_id), _paths("mkdir", "path")[0])
        message = "The directory was created successfully"
        return json_response(documents.result("mkdir_result", "DirectoryCreated", message, request.path), 202)

    @routes.post("/operation/endpoint/<collection_id>/rename")
    def rename(collection_id: str) -> Response:
        old_path, new_path = _paths("rename", "old_path", "new_path")
        listing.rename(usable(collection_id), old_path, new_path)
        message = "File or directory renamed successfully"
        return json_response(documents.result("result", "FileRenamed", message, request.path))

    return routes


def _paths(data_type: str, *keys: str) -> list[str]:
    body = json_body()
    if not isinstance(body, dict) or body.get("DATA_TYPE") != data_type:
        raise bad_request(f"DATA_TYPE must be {data_type!r}")
    paths = []
    for key in keys:
        path = body.get(key)
        if not isinstance(path, str) or not path:
            raise bad_request(f"Missing required field '{key}'")
        check_path(path)
        paths.append(path)
    return paths


def _ls(collection: Collection) -> dict[str, Any]:
    """A listing (documented); directories come before files, each by name, unless another order is asked for."""
    path = request.args.get("path") or "/~/"
    is_showing_hidden = request.args.get("show_hidden", "1").lower() not in ("0", "false")
    records = listing.list_directory(collection, path, is_showing_hidden=is_showing_hidden)
    tests = [parse_filter(text, _FILE_FILTERS) for text in request.args.getlist("filter") if text]
    if tests:
        records = [record for record in records if any(test(record) for test in tests)]
    orderby = request.args.get("orderby") or "type ASC, name ASC"
    in_order = ordered(records, orderby, [*_FILE_FILTERS])
    limit = number("limit", _LS_LIMIT, least=1, most=_LS_LIMIT)
    offset = number("offset", 0)
    shown = in_order[offset : offset + limit]
    return {
        "DATA_TYPE": "file_list",
        "endpoint": collection.id,
        "path": path if path.endswith("/") else path + "/",
        "absolute_path": collection.full_path(path).rstrip("/") + "/",
        "rename_supported": True,
        "symlink_supported": False,
        "length": len(shown),
        "limit": limit,
        "offset": offset,
        "total": len(in_order),
        "DATA": shown,
    }


def _search(collections: Any) -> list[Collection]:
    """Collections by full text, scope and owner (documented parameters; matching by substring is assumed)."""
    text = request.args.get("filter_fulltext", "").lower()
    entity_type = request.args.get("filter_entity_type")
    found = []
    for collection in collections:
        words = f"{collection.display_name} {collection.id} {collection.description or ''}".lower()
        is_match = fnmatchcase(words, f"*{text}*") if text else True
        if is_match and entity_type in (None, collection.entity_type):
            found.append(collection)
    return found
