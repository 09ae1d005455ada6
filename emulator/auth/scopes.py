"""The scope grammar: `root[dep1 *dep2[dep3]]`, and which resource server a scope belongs to."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

AUTH = "auth.globus.org"
TRANSFER = "transfer.api.globus.org"
TIMERS = "524230d7-ea86-4a52-8312-86065a9e0417"
FLOWS = "eec9b274-0c81-4334-bdc2-54e90e689b9a"

TRANSFER_ALL = "urn:globus:auth:scope:transfer.api.globus.org:all"
TIMER = f"https://auth.globus.org/scopes/{TIMERS}/timer"

_OPENID_SCOPES = {"openid", "profile", "email"}
_URN = re.compile(r"urn:globus:auth:scope:([^:\s]+):(\S+)")
_URL = re.compile(r"https://auth\.globus\.org/scopes/([0-9a-f-]{36})/(\w+)")
_URN_SERVERS = {AUTH, TRANSFER, "groups.api.globus.org", "search.api.globus.org", "nexus.api.globus.org"}
# A scope's URL carries the service's client id; two services are known by another name (read in the SDK's source).
_URL_SERVERS = {TIMERS: TIMERS, FLOWS: "flows.globus.org"}
_TOKEN = re.compile(r"\s+|[\[\]*]|[^\s\[\]*]+")


@dataclass(frozen=True)
class Scope:
    """One scope with the scopes it depends on; `optional` is the grammar's `*` (atomically revocable)."""

    name: str
    optional: bool = False
    dependencies: tuple[Scope, ...] = ()


class ScopeError(ValueError):
    """The scope text does not follow the grammar."""


def parse_scopes(text: str) -> list[Scope]:
    """The scopes in `text`, in order, each name once at every level.

    Raises:
        ScopeError: Brackets do not match, or a `*` or bracket has no scope beside it.
    """
    tokens = [token for token in _TOKEN.findall(text) if not token.isspace()]
    scopes, used = _parse_level(tokens, 0, is_nested=False)
    if used != len(tokens):
        raise ScopeError(f"']' without '[' in scope {text!r}")
    return scopes


def _parse_level(tokens: list[str], position: int, *, is_nested: bool) -> tuple[list[Scope], int]:
    scopes: list[Scope] = []
    is_optional = False
    while position < len(tokens):
        token = tokens[position]
        position += 1
        if token == "*":  # noqa: S105 - a token of the grammar
            if is_optional:
                raise ScopeError("'**' in scope")
            is_optional = True
        elif token == "[":  # noqa: S105
            if not scopes or is_optional:
                raise ScopeError("'[' without a scope before it")
            children, position = _parse_level(tokens, position, is_nested=True)
            scopes[-1] = Scope(scopes[-1].name, scopes[-1].optional, tuple(children))
        elif token == "]":  # noqa: S105
            if not is_nested or is_optional or not scopes:
                raise ScopeError("']' out of place in scope")
            return merge_scopes(scopes), position
        else:
            scopes.append(Scope(token, is_optional))
            is_optional = False
    if is_nested or is_optional:
        raise ScopeError("the scope ends too early")
    return merge_scopes(scopes), position


def merge_scopes(scopes: Iterable[Scope]) -> list[Scope]:
    """The same scopes with each name once; the dependencies of equal names are united."""
    merged: dict[str, Scope] = {}
    for scope in scopes:
        known = merged.get(scope.name)
        if known is None:
            merged[scope.name] = scope
        else:
            children = merge_scopes([*known.dependencies, *scope.dependencies])
            merged[scope.name] = Scope(scope.name, known.optional and scope.optional, tuple(children))
    return list(merged.values())


def resource_server_of(scope_name: str) -> str | None:
    """The resource server a scope belongs to; None for a scope Globus would call unknown.

    For a `data_access` or `https` scope this is the collection's id; whether that collection has such a scope is the
    caller's to ask.
    """
    if scope_name in _OPENID_SCOPES:
        return AUTH
    urn = _URN.fullmatch(scope_name)
    if urn is not None:
        return urn.group(1) if urn.group(1) in _URN_SERVERS else None
    url = _URL.fullmatch(scope_name)
    if url is None:
        return None
    return _URL_SERVERS.get(url.group(1), url.group(1) if url.group(2) in ("data_access", "https") else None)


def data_access_scope(collection_id: str) -> str:
    """The scope that lets a service read and write a mapped collection."""
    return f"https://auth.globus.org/scopes/{collection_id}/data_access"


def chain_text(chain: Sequence[str]) -> str:
    """A chain of scopes in the grammar, each below the one before it, the last one optional (recorded)."""
    text = f"*{chain[-1]}" if len(chain) > 1 else chain[-1]
    for name in reversed(chain[:-1]):
        text = f"{name}[{text}]"
    return text


def scope_id(scope_name: str) -> str:
    """A stable id for a scope, as consents carry it."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, scope_name))
