"""Marks of the quick scan: the times that folders had when they held exactly what is recorded. Pure.

A folder whose own times are still those of its mark has lost and gained no entry since, so a quick scan does not list
it. One shelf entry for the folders in a folder, so that a million files need a few hundred entries to be read:

    (names, mtimes_ns, ctimes_ns, files, has_folders), four columns beside the names

A folder's mark falls when its record changes; that is the trie's doing. An mtime of 0 is no mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from autotransfer.common.paths import join, split
from autotransfer.datastore.columns import SEPARATOR, pack_column, unpack_column
from autotransfer.datastore.trie import Shelf

PREFIX = "quick /"


# How many entries are held before they are written.
HELD = 500


class Mark(NamedTuple):
    """One folder's times and how many files it held; has_folders: whether there are folders in it to go into."""

    mtime_ns: int
    ctime_ns: int
    files: int
    has_folders: bool


class Marks:
    """The marks of the folders of a tree, kept in the shelf of its trie; written by `flush`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._held: dict[str, dict[str, Mark | None]] = {}
        self._is_used: bool | None = None

    @property
    def is_used(self) -> bool:
        """Whether there are any. Cost: one look into the shelf, once."""
        if self._is_used is None:
            self._is_used = next(self._shelf.keys_below(PREFIX), None) is not None
        return self._is_used

    def of(self, rel_path: str) -> dict[str, Mark | None]:
        """The folders in a folder by name, each with its mark or None."""
        held = self._held.get(rel_path)
        if held is None:
            held = self._held[rel_path] = _unpacked(self._shelf.get(PREFIX + rel_path))
        return held

    def columns(self, rel_path: str) -> tuple[list[str], list[int], list[int], list[int], list[int]] | None:
        """The same as columns, in the order of the names; None when there are none."""
        held = self._held.get(rel_path)
        value = self._shelf.get(PREFIX + rel_path) if held is None else _packed(held)
        if value is None:
            return None
        names = value[0].split(SEPARATOR)
        mtimes_ns, ctimes_ns, files, has_folders = (unpack_column(column, len(names)) for column in value[1:])
        return names, mtimes_ns, ctimes_ns, files, has_folders

    def set_folders(self, rel_path: str, names: Sequence[str]) -> None:
        """Note which folders are in a folder; marks of others, and of what is below those, are gone."""
        before = self.of(rel_path)
        for name in before.keys() - set(names):
            self._drop_below(join(rel_path, name))
        if list(before) != list(names):
            self._held[rel_path] = {name: before.get(name) for name in names}
        self._is_used = True

    def set(self, rel_path: str, mark: Mark) -> None:
        """Mark a folder, if the one above has noted it."""
        above, name = split(rel_path)
        siblings = self.of(above)
        if name in siblings:
            siblings[name] = mark
        if len(self._held) > HELD:
            self.flush()

    def drop(self, rel_path: str) -> None:
        """Take a folder's mark away: it is listed by the next scan."""
        if rel_path and self.is_used:
            above, name = split(rel_path)
            siblings = self.of(above)
            if siblings.get(name) is not None:
                siblings[name] = None
            if len(self._held) > HELD:
                self.flush()

    def clear(self) -> None:
        """Take all marks away."""
        self._held.clear()
        for key in self._shelf.keys_below(PREFIX):
            self._shelf.pop(key, None)
        self._is_used = False

    def flush(self) -> None:
        """Write what changed."""
        for rel_path, folders in self._held.items():
            key, packed = PREFIX + rel_path, _packed(folders)
            if packed is None:
                self._shelf.pop(key, None)
            elif self._shelf.get(key) != packed:
                self._shelf[key] = packed
        self._held.clear()

    def forget_unwritten(self) -> None:
        """Drop what was not written, as when the transaction it belongs to is taken back."""
        self._held.clear()
        self._is_used = None

    def _drop_below(self, rel_path: str) -> None:
        for key in [*self._shelf.keys_below(f"{PREFIX}{rel_path}/"), PREFIX + rel_path]:
            self._held.pop(key[len(PREFIX) :], None)
            self._shelf.pop(key, None)
        for held in [held for held in self._held if held == rel_path or held.startswith(rel_path + "/")]:
            del self._held[held]


def _packed(folders: dict[str, Mark | None]) -> tuple[Any, ...] | None:
    if not folders:
        return None
    marks = [mark or Mark(0, 0, 0, False) for mark in folders.values()]
    return (SEPARATOR.join(folders), *(pack_column([int(mark[field]) for mark in marks]) for field in range(4)))


def _unpacked(value: tuple[Any, ...] | None) -> dict[str, Mark | None]:
    if value is None:
        return {}
    names = value[0].split(SEPARATOR)
    columns = (unpack_column(column, len(names)) for column in value[1:])
    return {
        name: Mark(mtime_ns, ctime_ns, files, bool(has_folders)) if mtime_ns else None
        for name, mtime_ns, ctime_ns, files, has_folders in zip(names, *columns)
    }
