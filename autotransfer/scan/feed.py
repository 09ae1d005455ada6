"""Reads what a change feed names, in the order of a walk.

A feed names a path once. Whatever a run leaves for a later one (touched too recently, carried by a task, to be retried)
is therefore kept in the datastore, and each run with a feed reads that too (plan/rescan). The first such run reads
everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from autotransfer.common.paths import FOLDER_ITSELF, below, can_be_sent, is_within, join, split
from autotransfer.datastore.record import Record, names_in
from autotransfer.datastore.trie import PathTrie
from autotransfer.scan.folders import open_folder, read_names
from autotransfer.scan.listing import Listing, Policy, ScannedFolder
from autotransfer.scan.worker import FolderScanner

# More are not read path by path: then everything is.
MAX_NAMED = 1_000_000
MAX_EXAMPLES = 10
SRC_DIR_ITSELF = ""
EXCLUDED, CLOSED, OPEN = 0, 1, 2


def split_names(text: bytes) -> list[str]:
    """The names in a feed: each ends with NUL where there is one, otherwise with a newline; with CR LF where all do."""
    mark = b"\0" if b"\0" in text else b"\n"
    lines = text.count(b"\n")
    if mark == b"\n" and lines and text.count(b"\r\n") == lines and text.endswith(mark):
        mark = b"\r\n"
    return [os.fsdecode(name) for name in text.split(mark)]


class NamedPaths(NamedTuple):
    """What the names in a feed lead to.

    Args:
        rel_paths: What to read.
        names: The number of names.
        outside: The number of them that lead out of SRC_DIR; examples: the first of those, each with its number.
        counts: How many names lead to each of rel_paths.
    """

    rel_paths: set[str]
    names: int
    outside: int
    examples: list[tuple[int, str]]
    counts: dict[str, int]


def locate_names(
    src_dir: str, policy: Policy, root_fd: int, names: Iterable[str], kept: Iterable[str] = ()
) -> NamedPaths:
    """Find what in SRC_DIR to read for each name.

    Args:
        names: Absolute, or relative to SRC_DIR. An excluded one leads to nothing.
        kept: rel_paths to read as well; the folders they are in may be gone.
    """
    locator = _Locator(src_dir, policy, root_fd)
    found = {place: 0 for rel_path in kept for place in locator.of_rel_path(rel_path)}
    examples: list[tuple[int, str]] = []
    count = outside = 0
    for number, name in enumerate(names, 1):
        if not name:
            continue
        count += 1
        where = locator.of_name(name)
        if where is None:
            outside += 1
            if len(examples) < MAX_EXAMPLES:
                examples.append((number, name))
        else:
            for place in where:
                found.setdefault(place, 0)
            if where:
                found[where[0]] += 1
        if len(found) > MAX_NAMED:
            found = {SRC_DIR_ITSELF: count}
    return NamedPaths(set(found), count, outside, examples, found)


class Feed:
    """The folders that hold named paths, each with what was read in it.

    In a folder that holds a named file, no other file is read. A named folder is read with everything below it.

    Args:
        rel_paths: Their folders are open folders, and no name in them is excluded (see locate_names).
        counts: How many names lead to each of them.

    Attributes:
        unknown: How many names led to what neither exists nor is recorded, once it was read; unknown_path: the first.
    """

    def __init__(
        self,
        trie: PathTrie,
        root_fd: int,
        policy: Policy,
        rel_paths: Iterable[str],
        *,
        clock_ns: Callable[[], int],
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self._counts = counts or {}
        self.unknown = 0
        self.unknown_path = ""
        self._trie = trie
        self._root_fd = root_fd
        self._policy = policy
        self._clock_ns = clock_ns
        self._read = FolderScanner(root_fd, policy, clock_ns=clock_ns)
        # Folder to names in it; whether everything below the name is meant, or only that it exists.
        self._wanted: dict[str, dict[str, bool]] = {}
        self._linked: dict[str, set[str]] = {}
        for rel_path in _outermost(rel_paths):
            self._want(rel_path)

    def __iter__(self) -> Iterator[ScannedFolder]:
        """Each folder, parents before children, siblings in order of name."""
        todo = [(_parts(folder), folder, False) for folder in self._wanted]
        heapify(todo)
        while todo:
            _, rel_path, is_whole = heappop(todo)
            if is_whole:
                yield from self._walk(rel_path)
                continue
            folder, meant = self._read_names(rel_path, self._wanted[rel_path])
            for name in folder.result.folders:
                if name in meant:
                    below_path = join(rel_path, name)
                    heappush(todo, (_parts(below_path), below_path, True))
            yield folder

    def _want(self, rel_path: str) -> None:
        folder, name = split(rel_path)
        self._wanted.setdefault(folder, {})[name] = True
        while folder:
            above, name = split(folder)
            if name in self._wanted.get(above, ()) or name in self._known_folders(above):
                return
            self._wanted.setdefault(above, {})[name] = False
            folder = above

    def _known_folders(self, rel_path: str) -> set[str]:
        """The recorded folders in a folder, except those in whose place a task carries a file."""
        known = self._linked.get(rel_path)
        if known is None:
            record = self._trie.record(rel_path) or Record()
            known = set(record.folder_names) - set(names_in(record.in_flight_entries.names))
            self._linked[rel_path] = known
        return known

    def _read_names(self, rel_path: str, names: dict[str, bool]) -> tuple[ScannedFolder, set[str]]:
        """What one folder holds of these names, and which of its folders are meant with everything below them."""
        record = self._trie.record(rel_path)
        follow_links = self._policy.follow_links
        listing = self._policy.hold(
            read_names(self._root_fd, rel_path, names, follow_links=follow_links, clock_ns=self._clock_ns)
        )
        recorded = record.recorded_names() if record else set()
        others = recorded - names.keys()
        self._count_unknown(rel_path, names.keys() - recorded, listing)
        is_there = bool(listing.files or listing.folders)
        if rel_path and listing.is_readable and not is_there and not others - {FOLDER_ITSELF}:
            # It may be empty now, so all of it must be read. None of its folders is known.
            result = self._read(rel_path, record)
            return ScannedFolder(rel_path, result, record), set(result.folders)
        kept = listing.kept.union(others - {FOLDER_ITSELF} if is_there else others)
        meant = {name for name, is_meant in names.items() if is_meant}
        return ScannedFolder(rel_path, listing._replace(kept=kept), record), meant

    def _count_unknown(self, rel_path: str, names: set[str], listing: Listing) -> None:
        if not listing.is_readable or listing.links or listing.special_files:  # these are in no list of names
            return
        odd = {split(error.rel_path)[1] for error in (*listing.errors, *listing.moved)}
        for name in names - listing.files.keys() - listing.kept - odd - set(listing.folders):
            path = join(rel_path, name)
            self.unknown += self._counts.get(path, 0)
            self.unknown_path = self.unknown_path or path

    def _walk(self, start: str) -> Iterator[ScannedFolder]:
        todo = [start]
        while todo:
            rel_path = todo.pop()
            record = self._trie.record(rel_path)
            result = self._read(rel_path, record)
            todo.extend(join(rel_path, name) for name in reversed(result.folders))
            yield ScannedFolder(rel_path, result, record)


class _Locator:
    """Where in SRC_DIR a name leads; each folder on the way is opened once."""

    def __init__(self, src_dir: str, policy: Policy, root_fd: int) -> None:
        self._src_dir = src_dir
        self._root_fd = root_fd
        self._excludes = policy.excludes()
        self._why_missing = policy.why_missing
        self._folders: dict[str, int] = {"": OPEN}
        self._prefixes = [root.rstrip("/") + "/" for root in (src_dir, os.path.realpath(src_dir))]

    def of_name(self, name: str) -> list[str] | None:
        """The rel_paths to read, or None when the name leads out of SRC_DIR."""
        inside = self._inside(name)
        found = [] if inside is None else self.of_rel_path(inside)
        if found == [inside]:
            return [inside] if inside is not None else None
        if inside is not None and self._folders.get(split(inside)[0]) == OPEN:
            return found  # the name itself is excluded
        # A folder on the way is a symlink, or gone: both its target and what became of it are read.
        resolved = below(self._src_dir, name, cwd=self._src_dir)
        if resolved is None:
            return found or None
        return [*found, *self.of_rel_path(resolved)]

    def of_rel_path(self, rel_path: str) -> list[str]:
        """The path itself; the topmost folder on the way that cannot be entered; nothing when it is excluded."""
        if rel_path == SRC_DIR_ITSELF:
            return [rel_path]
        folder, name = split(rel_path)
        if self._folders.get(folder) != OPEN:
            at = ""
            for step in folder.split("/"):
                at = join(at, step)
                state = self._state(at, step)
                if state == EXCLUDED:
                    return []
                if state == CLOSED:
                    return [at]
        return [] if self._excludes(name) else [rel_path]

    def _state(self, rel_path: str, name: str) -> int:
        state = self._folders.get(rel_path)
        if state is None:
            state = self._folders[rel_path] = EXCLUDED if self._excludes(name) else self._open(rel_path, name)
        return state

    def _open(self, rel_path: str, name: str) -> int:
        if not can_be_sent(name) or self._why_missing(rel_path):
            return CLOSED
        try:
            os.close(open_folder(self._root_fd, rel_path))
        except OSError:
            return CLOSED
        return OPEN

    def _inside(self, name: str) -> str | None:
        """The rel_path by the spelling of the name alone, or None when that does not decide."""
        rest = name
        if name.startswith("/"):
            for prefix in self._prefixes:
                if (name + "/").startswith(prefix):
                    rest = name[len(prefix) :]
                    break
            else:
                return None
        steps = [step for step in rest.split("/") if step not in ("", ".")]
        return None if ".." in steps else "/".join(steps)


def _outermost(rel_paths: Iterable[str]) -> Iterator[str]:
    """The paths that lie in none of the others, in the order of a walk."""
    last: str | None = None
    for rel_path in sorted(rel_paths, key=_parts):
        if last is None or not is_within(rel_path, last):
            last = rel_path
            yield rel_path


def _parts(rel_path: str) -> tuple[str, ...]:
    return tuple(rel_path.split("/")) if rel_path else ()
