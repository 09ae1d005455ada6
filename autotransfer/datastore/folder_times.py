"""The times that folders had when they held exactly what is recorded, for quick scans. Pure.

A folder that still has these times has lost and gained no entry since, so a quick scan does not list it. One shelf
entry holds those of all folders in a folder, so that a million files take a few hundred entries:

    (names, mtimes_ns, ctimes_ns, files, has_folders): the names, and four columns beside them

The trie drops a folder's times when its record changes. An mtime of 0 stands for none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from autotransfer.common.paths import join, split
from autotransfer.datastore.columns import SEPARATOR, pack_columns, unpack_column
from autotransfer.datastore.record import names_in
from autotransfer.datastore.trie import Shelf

PREFIX = "quick /"

# How many entries are held before they are written.
HELD = 500


class Times(NamedTuple):
    """One folder's own times, the number of files in it, and whether there are folders in it to go into."""

    mtime_ns: int
    ctime_ns: int
    files: int
    has_folders: bool


NONE = Times(0, 0, 0, False)


class FolderTimes:
    """The times of the folders of a tree, kept in the shelf of its trie; `flush` writes them."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._held: dict[str, dict[str, Times | None]] = {}
        self._is_used: bool | None = None

    @property
    def is_used(self) -> bool:
        """Whether there are any. Cost: the shelf is asked once."""
        if self._is_used is None:
            self._is_used = next(self._shelf.keys_below(PREFIX), None) is not None
        return self._is_used

    def of(self, rel_path: str) -> dict[str, Times | None]:
        """The folders in a folder by name, each with its times or None."""
        held = self._held.get(rel_path)
        if held is None:
            names, *columns = self.columns(rel_path) or ([],)
            times = (
                Times(mtime_ns, ctime_ns, files, bool(has_folders)) if mtime_ns else None
                for mtime_ns, ctime_ns, files, has_folders in zip(*columns)
            )
            held = self._held[rel_path] = dict(zip(names, times))
        return held

    def columns(self, rel_path: str) -> tuple[list[str], list[int], list[int], list[int], list[int]] | None:
        """The same as columns, in the order of the names; None when there are none."""
        held = self._held.get(rel_path)
        value = self._shelf.get(PREFIX + rel_path) if held is None else _packed(held)
        if value is None:
            return None
        names = names_in(value[0])
        mtimes_ns, ctimes_ns, files, has_folders = (unpack_column(column, len(names)) for column in value[1:])
        return names, mtimes_ns, ctimes_ns, files, has_folders

    def set_folders(self, rel_path: str, names: Sequence[str]) -> None:
        """Keep which folders are in a folder; the times of others, and of all below those, are dropped."""
        before = self.of(rel_path)
        for name in before.keys() - set(names):
            self._drop_below(join(rel_path, name))
        if list(before) != list(names):
            self._held[rel_path] = {name: before.get(name) for name in names}
        self._is_used = True

    def set(self, rel_path: str, times: Times) -> None:
        """Keep a folder's times, if it is among those that `set_folders` named for the folder above."""
        self._replace(rel_path, times)

    def drop(self, rel_path: str) -> None:
        """Drop a folder's times: the next scan lists it."""
        if rel_path and self.is_used:
            self._replace(rel_path, None)

    def clear(self) -> None:
        """Drop all times."""
        self._held.clear()
        for key in self._shelf.keys_below(PREFIX):
            self._shelf.pop(key, None)
        self._is_used = False

    def flush(self) -> None:
        """Write what has changed."""
        for rel_path, folders in self._held.items():
            key, packed = PREFIX + rel_path, _packed(folders)
            if packed is None:
                self._shelf.pop(key, None)
            elif self._shelf.get(key) != packed:
                self._shelf[key] = packed
        self._held.clear()

    def forget_unwritten(self) -> None:
        """Drop what was not written, as when its transaction is rolled back."""
        self._held.clear()
        self._is_used = None

    def _replace(self, rel_path: str, times: Times | None) -> None:
        above, name = split(rel_path)
        siblings = self.of(above)
        if name in siblings:
            siblings[name] = times
        if len(self._held) > HELD:
            self.flush()

    def _drop_below(self, rel_path: str) -> None:
        for key in [*self._shelf.keys_below(f"{PREFIX}{rel_path}/"), PREFIX + rel_path]:
            self._held.pop(key[len(PREFIX) :], None)
            self._shelf.pop(key, None)
        for held in [held for held in self._held if held == rel_path or held.startswith(rel_path + "/")]:
            del self._held[held]


def _packed(folders: dict[str, Times | None]) -> tuple[Any, ...] | None:
    if not folders:
        return None
    rows = [[int(number) for number in times or NONE] for times in folders.values()]
    return (SEPARATOR.join(folders), *pack_columns(rows, len(NONE)))
