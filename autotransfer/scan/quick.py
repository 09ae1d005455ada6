"""Which folders a quick scan must list: those whose own times have changed since they were found as recorded.

A file that is rewritten in place changes no folder's times, so only a full scan finds it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from autotransfer.common.paths import FOLDER_ITSELF, join, split
from autotransfer.common.settings import Settings
from autotransfer.common.times import NS_PER_SECOND
from autotransfer.datastore.folder_times import FolderTimes, Times
from autotransfer.datastore.record import Record
from autotransfer.datastore.store import FULL_SCAN, Store
from autotransfer.scan.folders import open_folder
from autotransfer.scan.listing import FolderResult, Listing, Unchanged

# A folder that changed within the time step of its file system after it was listed keeps its time. The coarsest step
# is two seconds (FAT). Source of the rule: git, Documentation/technical/racy-git.txt.
RACY_SECONDS = 2.0


class Marking:
    """The folder times of one scan: which are trusted, and which are kept for the next.

    Args:
        now_ns: When the scan starts.
        is_full: Whether none are trusted, whatever SCAN says.
        root_fd: SRC_DIR, open.
        may_mark: Whether times are used at all; not once they were found blind.

    Attributes:
        blind_folder: A folder whose times are as marked although its entries are not; None if there is none.
    """

    def __init__(
        self, settings: Settings, store: Store, *, now_ns: int, is_full: bool, root_fd: int = -1, may_mark: bool = True
    ) -> None:
        self._store = store
        self._now_ns = now_ns
        self._root_fd = root_fd
        self._is_marking = settings.scan == "quick" and may_mark
        self.blind_folder: str | None = None
        self._basis = [*settings.exclude, settings.symlinks, *(["ctime"] if settings.compare == "ctime" else ())]
        self._racy_from_ns = now_ns - int(max(settings.settle_seconds, RACY_SECONDS) * NS_PER_SECOND)
        if not self._is_marking and store.folder_times.is_used:
            store.folder_times.clear()
            store.shelf.pop(FULL_SCAN, None)
        last = store.shelf.get(FULL_SCAN) if self._is_marking else None
        self._is_basis_same = last is not None and last["basis"] == self._basis
        self.is_quick = (
            not is_full
            and last is not None
            and self._is_basis_same
            and 0 <= now_ns - last["at_ns"] < settings.full_scan_every * NS_PER_SECOND
        )

    def note(self, rel_path: str, result: FolderResult, record: Record | None = None) -> None:
        """Keep the folder's times if it is as recorded, and which folders are in it."""
        if not self._is_marking:
            return
        folder_times = self._store.folder_times
        if not self.is_quick and record is not None and isinstance(result, Listing) and result.is_readable:
            self._check_mark(rel_path, result, record)
        if not isinstance(result, Listing) or result.is_readable:
            folder_times.set_folders(rel_path, result.folders)
        if (
            isinstance(result, Unchanged)
            and result.is_plain
            and max(result.mtime_ns, result.ctime_ns) < self._racy_from_ns
        ):
            folder_times.set(rel_path, Times(result.mtime_ns, result.ctime_ns, result.files, bool(result.folders)))
        else:  # it may stay different from its record without a change of its own times
            folder_times.drop(rel_path)

    def _check_mark(self, rel_path: str, listing: Listing, record: Record) -> None:
        """Whether a quick scan would have skipped this folder, although it has gained or lost a name."""
        above, name = split(rel_path)
        mark = self._store.folder_times.of(above).get(name) if rel_path and self._is_basis_same else None
        if not mark or (mark.mtime_ns, mark.ctime_ns) != (listing.mtime_ns, listing.ctime_ns):
            return
        names, recorded = {*listing.files, *listing.folders}, record.recorded_names()
        if not (names - recorded or recorded - names - listing.kept) - {FOLDER_ITSELF}:
            return
        with suppress(OSError):  # its times were read before its names, which may have changed in between
            folder_fd = open_folder(self._root_fd, rel_path)
            now = os.fstat(folder_fd)
            os.close(folder_fd)
            if (now.st_mtime_ns, now.st_ctime_ns) == (mark.mtime_ns, mark.ctime_ns):
                self.blind_folder = rel_path

    def finish(self) -> None:
        """The scan is complete."""
        if self.blind_folder is not None:
            self._store.folder_times.clear()
            self._store.shelf.pop(FULL_SCAN, None)
            return
        if self._is_marking and not self.is_quick:
            self._store.shelf[FULL_SCAN] = {"at_ns": self._now_ns, "basis": self._basis}


# From this on a call is slow enough for several to be made at a time.
SLOW_SECONDS = 50e-6
SAMPLE = 50
THREADS = 32


class StaleFolders(NamedTuple):
    """Which folders below a folder are stale.

    Args:
        stale: rel_paths to list, in the order of a walk.
        folders, files: How many folders, with how many files, need not be listed.
    """

    stale: list[str]
    folders: int
    files: int


def stale_folders(root_fd: int, folder_times: FolderTimes, rel_path: str, names: Sequence[str]) -> StaleFolders:
    """Which folders in a folder, and below those, may have changed; `names` are those found in it, in order.

    Cost: one stat of each folder whose times are kept, none of files.
    """
    stale: list[str] = []
    folders = files = 0
    levels = [_entries(root_fd, folder_times, rel_path, names)]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            continue
        if not entry.is_same:
            stale.append(entry.rel_path)
            continue
        folders += 1
        files += entry.files
        if entry.has_folders:
            below = folder_times.columns(entry.rel_path)
            levels.append(_entries(root_fd, folder_times, entry.rel_path, below[0] if below else ()))
    return StaleFolders(stale, folders, files)


class _Entry(NamedTuple):
    rel_path: str
    is_same: bool
    files: int
    has_folders: int


def _entries(root_fd: int, folder_times: FolderTimes, above: str, names: Sequence[str]) -> Iterator[_Entry]:
    columns = folder_times.columns(above)
    paths = [join(above, name) for name in names]
    if columns is None:
        yield from (_Entry(path, False, 0, 0) for path in paths)
        return
    known = dict(zip(columns[0], zip(*columns[1:])))
    for path, name, times_ns in zip(paths, names, _times_ns(root_fd, paths)):
        mtime_ns, ctime_ns, files, has_folders = known.get(name, (0, 0, 0, 0))
        yield _Entry(path, mtime_ns != 0 and times_ns == (mtime_ns, ctime_ns), files, has_folders)


def _times_ns(root_fd: int, paths: Sequence[str]) -> Iterator[tuple[int, int] | None]:
    """mtime and ctime of folders, None for what cannot be read or is no folder; several at a time where one is slow."""

    def times_ns(path: str) -> tuple[int, int] | None:
        try:
            status = os.stat(path, dir_fd=root_fd, follow_symlinks=False)
        except OSError:  # also a path beyond the system's limit: the listing goes there in steps
            return None
        return (status.st_mtime_ns, status.st_ctime_ns) if stat.S_ISDIR(status.st_mode) else None

    started = time.perf_counter()
    sample = [times_ns(path) for path in paths[:SAMPLE]]
    yield from sample
    rest = paths[SAMPLE:]
    if not rest:
        return
    if time.perf_counter() - started < SLOW_SECONDS * SAMPLE:
        yield from map(times_ns, rest)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(THREADS) as pool:
        try:
            found = pool.map(times_ns, rest)
        except RuntimeError:  # no more threads are allowed
            found = map(times_ns, rest)
        yield from found
