"""Where the tokens of a login are kept: a person's in a file, a service account's in memory only."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Mapping

from globus_sdk.token_storage import MemoryTokenStorage, SQLiteTokenStorage, TokenStorageData

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.files import explained_as, open_own, refuse_unusable, what_to_do

TOKEN = re.compile(r"[!-~]+")


def in_file(path: str) -> SQLiteTokenStorage:
    """The file of a person's tokens, open.

    Raises:
        ConfigurationProblem: It cannot be used; what to do is said.
    """
    remedy = (
        f"{what_to_do(path)} If the file is damaged, delete it and run test_config.py: only the login is in it. "
        "Nothing was sent or recorded."
    )
    what, errors = f"Cannot open the stored login {path}", (OSError, sqlite3.Error, ValueError)
    with explained_as(ConfigurationProblem, what, remedy=remedy, errors=errors):
        # Owner-only from the moment it exists, and made so again if its mode was looser. SQLite would follow a link.
        if refuse_unusable(path):
            os.close(open_own(path, os.O_RDWR))
            if _is_unfinished(path):
                os.unlink(path)
        return _InFile(path)


def _is_unfinished(path: str) -> bool:
    """Whether the first write was cut off, as by a full disk. The SDK creates its tables only in a new file."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    finally:
        connection.close()


def _sendable(stored: Mapping[str, TokenStorageData]) -> Mapping[str, TokenStorageData]:
    """The tokens of an answer, unless no request can carry them: all runs would fail until they expire.

    Raises:
        ValueError: One is not plain text.
    """
    for tokens in stored.values():
        for token in (tokens.access_token, tokens.refresh_token or "none"):
            if not isinstance(token, str) or not TOKEN.fullmatch(token):
                raise ValueError("the answer holds a token that is not plain text")
    return stored


class InMemory(MemoryTokenStorage):
    """For a service account."""

    def store_token_data_by_resource_server(
        self, token_data_by_resource_server: Mapping[str, TokenStorageData]
    ) -> None:
        super().store_token_data_by_resource_server(_sendable(token_data_by_resource_server))


class _InFile(SQLiteTokenStorage):
    """The SDK's SQLite storage, which is transactional; its JSON storage is rewritten in place."""

    def store_token_data_by_resource_server(
        self, token_data_by_resource_server: Mapping[str, TokenStorageData]
    ) -> None:
        super().store_token_data_by_resource_server(_sendable(token_data_by_resource_server))
