"""Read a batch of folders, and compare each with its record: the whole work of a worker.

Folders and their records go in. What is as recorded comes back as counts, and the rest as listings, entry by entry.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from itertools import compress
from typing import NamedTuple, Optional

from autotransfer.datastore import pickles
from autotransfer.datastore.columns import SEPARATOR, Column, column_holds, unpack_column
from autotransfer.datastore.record import Record, has_moved
from autotransfer.scan.folders import is_mount_point, open_folder, read_folder
from autotransfer.scan.linux import entries
from autotransfer.scan.listing import FolderResult, Listing, Policy, Unchanged

# What a run has open beside the folders that it reads, and some more.
KEPT_DESCRIPTORS = 32

# A folder's rel_path and its record as the datastore holds it, None where there is none.
FolderRow = tuple[str, Optional[bytes]]


class WorkerSetup(NamedTuple):
    """What a worker must know of a scan.

    Args:
        src_dir: SRC_DIR, and the inode that it must have for the worker.
        threads: How many folders to read at a time: more than one where each call takes long.
    """

    src_dir: str
    inode: int
    policy: Policy
    threads: int


class OtherRoot(Exception):
    """SRC_DIR is another folder for the worker than for the run."""


def read_batch(setup: WorkerSetup, rows: list[FolderRow], *, is_alone: bool = False) -> list[FolderResult]:
    """What each folder holds, in the order of the rows. Runs in a worker.

    Args:
        is_alone: Whether the worker is a process that does nothing else.

    Raises:
        OtherRoot, OSError: SRC_DIR is not there as the run knows it.
        pickles.DamagedValue: A record is damaged.
    """
    root_fd = os.open(setup.src_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.fstat(root_fd).st_ino != setup.inode:
            raise OtherRoot(setup.src_dir)
        return read_rows(root_fd, setup.policy, rows, threads=setup.threads, is_alone=is_alone)
    finally:
        os.close(root_fd)


def read_rows(
    root_fd: int, policy: Policy, rows: Sequence[FolderRow], *, threads: int = 1, is_alone: bool = False
) -> list[FolderResult]:
    """The same with SRC_DIR open."""
    read = FolderScanner(root_fd, policy, is_alone=is_alone and threads <= 1)

    def read_row(row: FolderRow) -> FolderResult:
        return read(row[0], None if row[1] is None else Record.from_builtins(pickles.load(row[1])))

    threads = min(affordable_threads(threads), len(rows))
    if threads <= 1:
        return list(map(read_row, rows))
    from concurrent.futures import ThreadPoolExecutor

    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(read_row, rows))
    except RuntimeError:  # no more threads are allowed
        return list(map(read_row, rows))


def affordable_threads(most: int) -> int:
    """How many threads, at most `most`, may read folders at a time; each opens up to two descriptors for that."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, (soft - KEPT_DESCRIPTORS) // 2))


class FolderScanner:
    """Reads folders one by one and compares each with its record. Never raises for what is on disk.

    Args:
        clock_ns: For the time at which a listing was read; workers leave it 0, because their clocks are not trusted.
        is_alone: Whether no other thread of the process has work.
    """

    def __init__(
        self, root_fd: int, policy: Policy, *, clock_ns: Callable[[], int] = lambda: 0, is_alone: bool = False
    ) -> None:
        self._root_fd = root_fd
        self._root_device = os.fstat(root_fd).st_dev
        self._policy = policy
        self._excludes = policy.excludes()
        # A test folder is never recorded, so a folder that holds one is not as recorded.
        self._excludes_known = self._excludes if policy.exclude else None
        self._follow_links = policy.follow_links
        self._compares_ctime = policy.compares_ctime
        self._clock_ns = clock_ns
        self._entries = entries(is_alone=is_alone)
        self._is_fast = self._entries.are_possible and not self._follow_links

    def __call__(self, rel_path: str, record: Record | None) -> FolderResult:
        """What one folder holds: Unchanged when that is its record."""
        if record is not None and self._is_fast:
            unchanged = self._read_unchanged(rel_path, record)
            if unchanged is not None:
                return unchanged
        listing = self._policy.hold(
            read_folder(
                self._root_fd, rel_path, self._excludes, follow_links=self._follow_links, clock_ns=self._clock_ns
            )
        )
        if is_unchanged(listing, record, compares_ctime=self._compares_ctime):
            return Unchanged(
                len(listing.files),
                listing.links,
                listing.special_files,
                listing.folders,
                listing.mtime_ns,
                listing.ctime_ns,
                listing.is_plain,
                listing.is_mount,
            )
        return listing

    def _read_unchanged(self, rel_path: str, record: Record) -> Unchanged | None:
        """The result for a folder whose entries are as recorded, in the same order; None for any other.

        Cost: the system's calls to list the folder and check each file, and as little as possible beside them. Nearly
        all of a scan's time is spent here.
        """
        expected = record.single_state()
        if expected is None or rel_path in self._policy.missing:
            return None
        try:
            folder_fd = open_folder(self._root_fd, rel_path)
        except OSError:
            return None
        try:
            own = os.fstat(folder_fd)
            is_mount = is_mount_point(folder_fd, own.st_dev, self._root_device)
            names = os.listdir(folder_fd)
            if self._excludes_known is not None:
                names = [name for name in names if not self._excludes_known(name)]
            statuses = self._entries.read(folder_fd, names, with_ctimes=self._compares_ctime)
        except OSError:
            return None
        finally:
            os.close(folder_fd)
        if statuses is None or (rel_path in self._policy.mounts and not is_mount):
            return None
        folders: list[str] = []
        links = special_files = 0
        modes = statuses.modes
        if not all(map(stat.S_ISREG, set(modes))):
            is_file = list(map(stat.S_ISREG, modes))
            folders = sorted(name for name, mode in zip(names, modes) if stat.S_ISDIR(mode))
            links = sum(map(stat.S_ISLNK, modes))
            special_files = len(names) - sum(is_file) - len(folders) - links
            names = list(compress(names, is_file))
            statuses = statuses.only(is_file)
        is_same = (
            SEPARATOR.join(names) == expected.names
            and SEPARATOR.join(folders) == record.folders
            and column_holds(expected.mtimes_ns, statuses.mtimes_ns)
            and column_holds(expected.sizes_bytes, statuses.sizes_bytes)
            and not (self._compares_ctime and _have_moved(expected.ctime_lags_ns, statuses.ctime_lags_ns))
        )
        if not is_same:
            return None
        own_times_ns = own.st_mtime_ns, own.st_ctime_ns
        return Unchanged(len(names), links, special_files, folders, *own_times_ns, not special_files, is_mount)


def _have_moved(recorded_lags_ns: Column, lags_ns: bytes) -> bool:
    """Whether a ctime has moved; the lags on disk are 64 bits each. Cost: bytes are compared where all are known."""
    if column_holds(recorded_lags_ns, lags_ns):
        return False
    count = len(lags_ns) // 8
    return any(map(has_moved, unpack_column(recorded_lags_ns, count), unpack_column(("q", lags_ns), count)))


def is_unchanged(listing: Listing, record: Record | None, *, compares_ctime: bool = False) -> bool:
    """Whether the folder holds exactly what is delivered or in flight, with nothing to retry. Cost: C speed.

    What a setting skips may be there, as long as nothing is recorded of it.

    Args:
        compares_ctime: Whether a ctime that has moved is a change.
    """
    return (
        record is not None
        and not record.retries
        and listing.is_readable
        and not (listing.errors or listing.moved)
        and SEPARATOR.join(listing.folders) == record.folders
        and listing.files == record.fingerprints()
        and not (
            compares_ctime
            and any(has_moved(lag, listing.ctime_lags_ns.get(name, 0)) for name, lag in record.lags_ns().items())
        )
    )
