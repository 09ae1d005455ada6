"""Sources of changes that a full scan has found blind: the times of folders (scan/quick), and change feeds (scan/feed).

Where one is, each run reads everything and says so, until a person trusts it again (`main.py --trust`).

A feed may name a change one list late. So it is found blind by what had changed before the last list but one and is in
neither; what changed before the last list must be in the next. Only where two lists came in a row, without a full scan
in between, are they held to that: a list that is passed once by hand names what somebody chose.
"""

from __future__ import annotations

from autotransfer.common.paths import FOLDER_ITSELF, display, is_within, join
from autotransfer.common.settings import Settings
from autotransfer.common.summary import SOURCE_BLIND, Summary
from autotransfer.datastore.store import BLIND, LISTS, Store
from autotransfer.plan.compare import NEW, RETRY, FolderChange
from autotransfer.plan.rescan import kept_paths
from autotransfer.scan.feed import SRC_DIR_ITSELF
from autotransfer.scan.listing import Listing

QUICK, FEED = "quick", "feed"
MOST_MISSED = 1000
REMEDY = "Each run reads everything instead, so nothing is missed now; once the cause is gone, run `main.py --trust`."
NAMES = {QUICK: "SCAN = 'quick'", FEED: "The change feed"}
WHY = {
    QUICK: "a full scan found that names were added to {} or removed from it, although the folder's own times are as "
    "they were. The file system does not keep them.",
    FEED: "its lists had not named {}, which a full scan found new, modified or gone. Check what makes the lists, and "
    "that it sees all of SRC_DIR.",
}


class Distrust:
    """What one run knows and finds of both sources. What it changes in the store is not committed.

    Args:
        now_ns: When the run began.
        listed_at_ns: When the list of a feed was made; None: this run has none.
        is_trusted_again: Whether a person says that what was found blind no longer is.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        now_ns: int,
        listed_at_ns: int | None,
        is_trusted_again: bool = False,
    ) -> None:
        self._store = store
        self._src_dir = settings.src_dir
        self._listed_at_ns = listed_at_ns
        self._blind: dict[str, str] = {} if is_trusted_again else dict(store.shelf.get(BLIND) or {})
        if settings.scan != QUICK:
            self._blind.pop(QUICK, None)
        self._basis = [*settings.exclude, settings.symlinks, settings.compare]
        known = store.shelf.get(LISTS) or {"basis": self._basis, "at_ns": [], "missed": []}
        self._scan_basis: list[str] = known["basis"]  # what is no longer excluded is new to the next full scan
        is_clock_right = all(at_ns <= now_ns for at_ns in known["at_ns"])
        self._lists_ns: list[int] = known["at_ns"] if is_clock_right and not is_trusted_again else []
        self._due: list[str] = known["missed"] if self._lists_ns == known["at_ns"] else []
        self._missed: list[str] = []
        self._kept: set[str] | None = None
        self._new_folder = ("", 0)

    @property
    def trusts_times(self) -> bool:
        """Whether folder times may be used and kept."""
        return QUICK not in self._blind

    @property
    def trusts_feed(self) -> bool:
        """Whether the lists of a feed may be used."""
        return FEED not in self._blind

    def check_list(self, rel_paths: set[str]) -> None:
        """Hold a list against what a full scan had found, and the lists before it had not named."""
        for rel_path in self._due:
            if not _is_in(rel_path, rel_paths):
                self._blind.setdefault(FEED, rel_path)

    def check_change(self, listing: Listing, change: FolderChange, *, is_new: bool, vanished: int) -> None:
        """Note what a full scan without a list has found in a folder, and the last lists had not named.

        What is moved here keeps its own times: it came with the topmost folder that is new, or with its name.
        """
        if self._listed_at_ns is not None or len(self._lists_ns) < 2 or self._scan_basis != self._basis:
            return
        if not is_within(listing.rel_path, self._new_folder[0]) or not self._new_folder[0]:
            self._new_folder = (listing.rel_path, listing.ctime_ns) if is_new else ("", 0)
        if vanished and listing.ctime_ns < self._lists_ns[-2]:
            self._blind.setdefault(FEED, listing.rel_path)
        for name, item in change.outgoing.items():
            changed_ns = max(item.mtime_ns + item.ctime_lag_ns, self._new_folder[1])
            if item.why == RETRY or name == FOLDER_ITSELF:  # a feed names what was in a folder that is empty now
                continue
            if changed_ns >= self._lists_ns[-1] or self._is_kept(item.rel_path):
                continue
            if max(changed_ns, listing.ctime_ns if item.why == NEW else 0) < self._lists_ns[-2]:
                self._blind.setdefault(FEED, join(listing.rel_path, name))
            elif len(self._missed) < MOST_MISSED:
                self._missed.append(item.rel_path)

    def finish(self, summary: Summary, *, blind_folder: str | None, is_full: bool) -> None:
        """Store what was found, and report it.

        Args:
            blind_folder: A folder whose times did not move although its entries had.
            is_full: Whether the run has read everything.
        """
        shelf = self._store.shelf
        if blind_folder is not None:
            self._blind.setdefault(QUICK, blind_folder)
        for source, rel_path in self._blind.items():
            if source == QUICK or self._listed_at_ns is not None or source not in (shelf.get(BLIND) or {}):
                where = display(join(self._src_dir, rel_path))
                why = WHY[source].format(where)
                summary.notice(SOURCE_BLIND, "", f"{NAMES[source]} is not used: {why} {REMEDY}", cause=source)
        _keep(self._store, BLIND, self._blind)
        basis = self._basis if is_full else self._scan_basis
        if self._listed_at_ns is not None:
            shelf[LISTS] = {"basis": basis, "at_ns": [*self._lists_ns, self._listed_at_ns][-2:], "missed": []}
        elif is_full and LISTS in shelf:
            shelf[LISTS] = {"basis": basis, "at_ns": [], "missed": self._missed}

    def _is_kept(self, rel_path: str) -> bool:
        if self._kept is None:
            self._kept = kept_paths(self._store)
        return _is_in(rel_path, self._kept)


def _is_in(rel_path: str, rel_paths: set[str]) -> bool:
    """Whether a path, or a folder that it is in, is among these."""
    while rel_path and rel_path not in rel_paths:
        rel_path = rel_path.rpartition("/")[0]
    return (rel_path or SRC_DIR_ITSELF) in rel_paths


def _keep(store: Store, key: str, value: dict[str, str]) -> None:
    if value:
        store.shelf[key] = value
    elif key in store.shelf:
        del store.shelf[key]
