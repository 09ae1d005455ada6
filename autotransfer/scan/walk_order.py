"""Which folders are next: found in any order, read in batches, returned in the order of a walk. Pure.

A walk is depth first, parents before children, siblings in order of name. Several workers find folders in another
order. What comes early is held until its turn, up to a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Generic, TypeVar

Found = TypeVar("Found")


class WalkOrder(Generic[Found]):
    """Folders from when they are found until they are returned.

    Args:
        start: The folders to begin with, in the order of a walk.
        window: How many folders may be read, or be waiting, ahead of their turn.
    """

    def __init__(self, start: Sequence[str], window: int) -> None:
        self._todo = list(reversed(start))
        self._window = window
        self._found: dict[str, tuple[Found, Sequence[str]]] = {}
        self._asked = 0
        self._waiting: list[tuple[str, Sequence[str], int]] = []
        self._enqueue(list(start), 0)

    @property
    def is_done(self) -> bool:
        """Whether every folder was returned."""
        return not self._todo

    def ask(self, most: int) -> list[str]:
        """The folders to read next, at most `most`; none when nothing can be read ahead.

        The one whose turn it is comes first, and is never held back by the window.
        """
        free = max(self._window - self._asked - len(self._found), 0)
        if self._waiting and not free:
            _, siblings, at = self._waiting[0]
            free = int(siblings[at] == self._todo[-1])
        asked: list[str] = []
        while self._waiting and len(asked) < min(most, free):
            _, siblings, at = heappop(self._waiting)
            taken = siblings[at : at + min(most, free) - len(asked)]
            asked += taken
            self._enqueue(siblings, at + len(taken))
        self._asked += len(asked)
        return asked

    def answer(self, rel_path: str, found: Found, folders: Sequence[str]) -> None:
        """Add what a folder holds, and the rel_paths below it to read, in the order of a walk."""
        self._asked -= 1
        self._found[rel_path] = found, folders
        self._enqueue(folders, 0)

    def next(self) -> tuple[str, Found] | None:
        """The folder whose turn it is, or None until it has been read."""
        rel_path = self._todo[-1]
        if rel_path not in self._found:
            return None
        found, folders = self._found.pop(rel_path)
        self._todo.pop()
        self._todo.extend(reversed(folders))
        return rel_path, found

    def _enqueue(self, siblings: Sequence[str], at: int) -> None:
        """Keep siblings, of which those before `at` were asked for; no copy is made, for they may be a million."""
        if at < len(siblings):
            # With NUL, which no name holds, as the separator, the order of paths is that of the walk.
            heappush(self._waiting, (siblings[at].replace("/", "\0"), siblings, at))
