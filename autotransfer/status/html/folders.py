"""Which folders a page shows: the largest, and those where something waits; the others are added up.

Memory is bounded however many folders there are. A folder comes with all its parents.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable
from functools import reduce
from heapq import heappush, heapreplace
from typing import Any, NamedTuple

from autotransfer.common.paths import display, split
from autotransfer.common.times import NS_PER_SECOND
from autotransfer.status.folders import FolderState, TreeFolder

MOST_FOLDERS, MOST_PENDING = 24_000, 6_000

# About what the numbers of one folder take in the page, without its name.
NUMBERS_BYTES = 40
MOST_BYTES = 2_000_000
OWN_FILES, REST = "files", "rest"
Rank = tuple[int, ...]


class Chosen(NamedTuple):
    """The folders to show, each after its parent, SRC_DIR first; and how many there are in all."""

    folders: list[TreeFolder]
    seen: int


class _Highest:
    """The folders that rank highest; a folder ranks above everything in it."""

    def __init__(self, most: int, rank: Callable[[TreeFolder], Rank]) -> None:
        self._most = most
        self._rank = rank
        self._heap: list[tuple[Rank, int, TreeFolder]] = []

    def add(self, number: int, folder: TreeFolder) -> None:
        rank = self._rank(folder)
        if len(self._heap) < self._most:
            heappush(self._heap, (rank, -number, folder))
        elif rank > self._heap[0][0]:
            heapreplace(self._heap, (rank, -number, folder))

    def ordered(self) -> list[TreeFolder]:
        return [folder for _, _, folder in sorted(self._heap, reverse=True)]


def _by_size(folder: TreeFolder) -> Rank:
    return (folder.whole.size_bytes, folder.whole.files, -folder.depth)


def _by_pending(folder: TreeFolder) -> Rank:
    whole = folder.whole
    return (whole.failing_files, whole.retrying.files, whole.in_flight.files, -folder.depth)


def choose(
    folders: Iterable[TreeFolder], *, on_progress: Callable[[int], None] | None = None, most_bytes: int = MOST_BYTES
) -> Chosen:
    """The folders that a page shows by name.

    Args:
        folders: All of them, as `folders.tree` yields them.
        on_progress: Called with the number of folders read so far.
        most_bytes: The room for them in the page.
    """
    largest, pending = _Highest(MOST_FOLDERS, _by_size), _Highest(MOST_PENDING, _by_pending)
    seen = 0
    for folder in folders:
        seen += 1
        largest.add(seen, folder)
        if folder.whole.in_flight.files or folder.whole.retrying.files:
            pending.add(seen, folder)
        if on_progress is not None and seen % 256 == 0:
            on_progress(seen)
    return Chosen(_fitting(pending.ordered(), largest.ordered(), most_bytes), seen)


def _fitting(pending: list[TreeFolder], largest: list[TreeFolder], most_bytes: int) -> list[TreeFolder]:
    """Both lists without repetitions, each cut where its half of the room is used up."""
    found: dict[str, TreeFolder] = {}
    for folders, room_bytes in ((pending, most_bytes // 2), (largest, most_bytes)):
        used_bytes = sum(map(_cost_bytes, found.values()))
        for folder in folders:
            if folder.rel_path in found:
                continue
            used_bytes += _cost_bytes(folder)
            if used_bytes > room_bytes and folder.rel_path:
                break
            found[folder.rel_path] = folder
    return sorted(found.values(), key=lambda folder: (folder.depth, folder.rel_path))


def _cost_bytes(folder: TreeFolder) -> int:
    return len(json.dumps(split(folder.rel_path)[1])) + NUMBERS_BYTES


class _Columns:
    """The nodes of the page's tree, a list for each of their properties."""

    def __init__(self, now_ns: int) -> None:
        self.names: list[str] = []
        self.parents: list[int] = []
        self.files: list[int] = []
        self.size_bytes: list[int] = []
        self.ages_seconds: list[int] = []
        self.standings: list[str] = []
        self.kinds: dict[int, str] = {}
        self.pending: dict[int, list[int]] = {}
        self._now_seconds = now_ns // NS_PER_SECOND

    def add(self, name: str, parent: int, state: FolderState, kind: str = "") -> int:
        number = len(self.names)
        self.names.append(display(name))
        self.parents.append(parent)
        self.files.append(state.files)
        self.size_bytes.append(state.size_bytes)
        last_seconds = state.last_delivered_ns // NS_PER_SECOND
        self.ages_seconds.append(self._now_seconds - last_seconds if last_seconds else -1)
        self.standings.append(state.standing)
        if kind:
            self.kinds[number] = kind
        if state.in_flight.files or state.retrying.files:
            self.pending[number] = [*state.in_flight, *state.retrying, state.failing_files]
        return number


def columns(chosen: Chosen, *, now_ns: int) -> dict[str, Any]:
    """The chosen folders as columns for the page's script.

    Beside them there are nodes of two other kinds: the files of a folder that has folders too (OWN_FILES), and what
    lies in those of its folders that were not chosen (REST).
    """
    made = _Columns(now_ns)
    numbers: dict[str, int] = {}
    below: dict[str, list[FolderState]] = {}
    for folder in chosen.folders:
        above, name = split(folder.rel_path)
        parent = numbers[above] if folder.rel_path else -1
        numbers[folder.rel_path] = made.add(name, parent, folder.whole)
        if folder.rel_path:
            below.setdefault(above, []).append(folder.whole)
    for folder in chosen.folders:
        inner = below.get(folder.rel_path, [])
        rest = folder.whole.without(reduce(operator.add, inner, folder.own))
        if not inner and not rest.files:
            continue  # nothing but files: one node is enough
        if folder.own.files:
            made.add("", numbers[folder.rel_path], folder.own, OWN_FILES)
        if rest.files:
            made.add("", numbers[folder.rel_path], rest, REST)
    words = sorted(set(made.standings))
    return {
        "names": made.names,
        "parents": made.parents,
        "files": made.files,
        "bytes": made.size_bytes,
        "ages": made.ages_seconds,
        "standingWords": words,
        "standings": [words.index(standing) for standing in made.standings],
        "kinds": made.kinds,
        "pending": made.pending,
        "seen": chosen.seen,
        "shown": len(chosen.folders),
    }
