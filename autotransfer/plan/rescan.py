"""What later runs must know of paths that a run could not deal with: to check them again, and how often that failed."""

from __future__ import annotations

from collections.abc import Iterable

from autotransfer.common.paths import FOLDER_ITSELF, join
from autotransfer.datastore.store import MOVED, RESCAN, Store
from autotransfer.plan.compare import FolderChange
from autotransfer.scan.feed import SRC_DIR_ITSELF
from autotransfer.scan.listing import Listing

MOST_KEPT = 100_000
NUL = "\0"

# A path that its folder lists, and that cannot be read in this many runs in a row, is not removed at that moment.
MOVED_RUNS = 3
MOST_MOVED = 1000


def kept_paths(store: Store) -> set[str]:
    """The paths that earlier runs left to be checked; all of SRC_DIR if no run has had a feed yet."""
    value = store.shelf.get(RESCAN)
    if value is None or value == FOLDER_ITSELF:
        return {SRC_DIR_ITSELF}
    if isinstance(value, bytes):  # of names that are not UTF-8
        value = value.decode(errors="surrogateescape")
    return set(value.split(NUL)) if value else set()


def rescan_later(store: Store, rel_paths: Iterable[str]) -> None:
    """Have the next run with a feed check these paths too. Does nothing where there are no feeds."""
    if store.shelf.get(RESCAN) is not None:
        store.shelf[RESCAN] = _packed(kept_paths(store).union(rel_paths))


class Rescan:
    """Collects, during one run, what later ones must check. Does nothing where there are no feeds."""

    def __init__(self, store: Store, *, is_used: bool) -> None:
        self._store = store
        self._is_used = is_used or store.shelf.get(RESCAN) is not None
        self._rel_paths: set[str] = set()

    def add(self, rel_path: str) -> None:
        """Add a path."""
        if self._is_used and len(self._rel_paths) <= MOST_KEPT:
            self._rel_paths.add(rel_path)

    def add_unsent(self, listing: Listing, change: FolderChange) -> None:
        """Add what a folder has that is neither sent now nor as recorded."""
        if not self._is_used:
            return
        # Also a name that cannot be sent: until it is renamed, each run reports it.
        for error in (*listing.errors, *listing.moved):
            self.add(error.rel_path)
        for name in change.held:
            self.add(join(listing.rel_path, name))

    def finish(self, *, has_scanned_all: bool) -> None:
        """Store the paths; those of earlier runs are dropped if everything has been scanned."""
        if self._is_used:
            before = set() if has_scanned_all else kept_paths(self._store)
            self._store.shelf[RESCAN] = _packed(before | self._rel_paths)


class Moved:
    """Counts in how many runs in a row a path was listed by its folder, and was not there when it was read.

    A run of any kind reads these paths again: no folder's times are kept for them (scan/quick), and they are kept for
    runs with a feed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._before: dict[str, int] = store.shelf.get(MOVED) or {}
        self._runs: dict[str, int] = {}

    def count(self, rel_path: str) -> int:
        """Count this run; returns the number of runs."""
        self._runs[rel_path] = runs = self._before.get(rel_path, 0) + 1
        return runs

    def finish(self) -> None:
        """Store the numbers, of at most MOST_MOVED paths; those counted longest first."""
        chosen = sorted(self._runs, key=lambda rel_path: (-self._runs[rel_path], rel_path))[:MOST_MOVED]
        if chosen:
            self._store.shelf[MOVED] = {rel_path: self._runs[rel_path] for rel_path in chosen}
        elif self._before:
            self._store.shelf.pop(MOVED, None)


def _packed(rel_paths: set[str]) -> str | bytes:
    if SRC_DIR_ITSELF in rel_paths or len(rel_paths) > MOST_KEPT:
        return FOLDER_ITSELF
    joined = NUL.join(sorted(rel_paths))
    try:
        joined.encode()
    except UnicodeEncodeError:
        return joined.encode(errors="surrogateescape")
    return joined
