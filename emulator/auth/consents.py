"""Trees of consents: what people (and service identities) have allowed clients to do."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .scopes import Scope, resource_server_of, scope_id


@dataclass(frozen=True)
class Consent:
    """One node: `identity_id` lets `client_id` use a scope, below the consents in `path` (itself last)."""

    id: int
    scope_name: str
    client_id: str
    identity_id: str
    path: tuple[int, ...]
    created: datetime
    is_atomically_revocable: bool
    allows_refresh: bool

    def document(self) -> dict[str, Any]:
        """The consent as Auth lists it (recorded)."""
        created = self.created.isoformat()
        return {
            "id": self.id,
            "scope_name": self.scope_name,
            "scope": scope_id(self.scope_name),
            "client": self.client_id,
            "effective_identity": self.identity_id,
            "dependency_path": list(self.path),
            "created": created,
            "updated": created,
            "last_used": created,
            "status": "approved",
            "allows_refresh": self.allows_refresh,
            "auto_approved": False,
            "atomically_revocable": self.is_atomically_revocable,
        }


class Consents:
    """All consents, by the identity that gave them and the client at the root."""

    def __init__(self) -> None:
        self._by_root: dict[tuple[str, str], list[Consent]] = {}
        self._last_id = 142_000

    def grant(
        self, identity_id: str, client_id: str, scopes: Iterable[Scope], *, at: datetime, allows_refresh: bool
    ) -> None:
        """Record consent to the scopes and all that hangs below them; what was given before stays."""
        book = self._by_root.setdefault((identity_id, client_id), [])
        self._grant_level(book, identity_id, client_id, scopes, (), at, allows_refresh)

    def _grant_level(
        self,
        book: list[Consent],
        identity_id: str,
        client_id: str,
        scopes: Iterable[Scope],
        above: tuple[int, ...],
        at: datetime,
        allows_refresh: bool,
    ) -> None:
        for scope in scopes:
            consent = _find(book, scope.name, above)
            if consent is None:
                self._last_id += 1
                path = (*above, self._last_id)
                consent = Consent(
                    self._last_id, scope.name, client_id, identity_id, path, at, scope.optional, allows_refresh
                )
                book.append(consent)
            # A dependency is used by the service the scope above belongs to, not by the client at the root.
            server = resource_server_of(scope.name) or scope.name
            service_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, server))
            self._grant_level(book, identity_id, service_id, scope.dependencies, consent.path, at, allows_refresh)

    def has_chain(self, identity_id: str, client_id: str, chain: Sequence[str]) -> bool:
        """Whether every scope in the chain is consented to, each below the one before it."""
        return self.find(identity_id, client_id, chain) is not None

    def find(self, identity_id: str, client_id: str, chain: Sequence[str]) -> Consent | None:
        """The consent at the end of a chain of scopes, each below the one before it."""
        book = self._by_root.get((identity_id, client_id), [])
        found: Consent | None = None
        for scope_name in chain:
            found = _find(book, scope_name, () if found is None else found.path)
            if found is None:
                return None
        return found

    def of(self, identity_id: str, client_id: str | None) -> list[Consent]:
        """The consents an identity has given to one client, or to all (None)."""
        return [
            consent
            for (owner, root), book in self._by_root.items()
            if owner == identity_id and client_id in (None, root)
            for consent in book
        ]

    def forget_client(self, client_id: str) -> None:
        """Remove every consent given to a client."""
        self._by_root = {key: book for key, book in self._by_root.items() if key[1] != client_id}

    def clear(self) -> None:
        """Rescind everything."""
        self._by_root.clear()


def _find(book: Iterable[Consent], scope_name: str, above: tuple[int, ...]) -> Consent | None:
    for consent in book:
        if consent.scope_name == scope_name and consent.path[:-1] == above:
            return consent
    return None
