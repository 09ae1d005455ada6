"""Shelves for tests of what lives on one."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any


class DictShelf(dict[str, Any], MutableMapping[str, Any]):
    """A shelf in memory."""

    def keys_below(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self if key.startswith(prefix)))
