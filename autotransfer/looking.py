"""Look at a batch of folders: what each holds, and whether that is what is recorded. A worker's whole work.

One unit of work for all who may do it, in this process or on another machine: folders with their records in, what is
to be thought about out. What is as recorded comes back as counts, a wholly new folder in packed columns; only the rest
comes back entry by entry.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional

from autotransfer import plain
from autotransfer.changes import is_unchanged
from autotransfer.paths import FOLDER_ITSELF
from autotransfer.scan import Listing, Policy, open_folder, read_folder
from autotransfer.sights import New, Same, Sight
from autotransfer.trie import SEPARATOR, column_holds, packed_column

# What a run has open beside the folders that it looks at, and some more.
KEPT_DESCRIPTORS = 32
# A folder's rel_path and its record as the datastore holds it, None where there is none.
Row = tuple[str, Optional[bytes]]


class Rules(NamedTuple):
    """What a worker must know to look at folders.

    Args:
        policy: What is left out.
        settled_before_ns: What was touched before this is settled.
    """

    policy: Policy
    settled_before_ns: int


class Unit(NamedTuple):
    """Folders to look at together.

    Args:
        src_dir: SRC_DIR as the worker sees it, and the inode it must have.
        threads: How many folders to look at at a time: more than one where each call takes long.
    """

    src_dir: str
    inode: int
    rules: Rules
    threads: int
    rows: list[Row]


class OtherRoot(Exception):
    """SRC_DIR is another folder for the worker than for the run."""


def look_at(unit: Unit) -> list[Sight]:
    """What each folder of a unit holds, in the order of its rows. Runs in a worker.

    Raises:
        OtherRoot, OSError: SRC_DIR is not there as the run sees it.
        plain.NotPlain: A record is damaged.
    """
    root_fd = os.open(unit.src_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.fstat(root_fd).st_ino != unit.inode:
            raise OtherRoot(unit.src_dir)
        return look_at_rows(root_fd, unit.rows, unit.rules, threads=unit.threads)
    finally:
        os.close(root_fd)


def look_at_rows(root_fd: int, rows: Sequence[Row], rules: Rules, *, threads: int = 1) -> list[Sight]:
    """The same with SRC_DIR open."""
    look = Look(root_fd, rules)

    def look_at_row(row: Row) -> Sight:
        return look(row[0], None if row[1] is None else plain.load(row[1]))

    threads = min(affordable_threads(threads), len(rows))
    if threads <= 1:
        return list(map(look_at_row, rows))
    from concurrent.futures import ThreadPoolExecutor

    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(look_at_row, rows))
    except RuntimeError:  # no more threads are allowed
        return list(map(look_at_row, rows))


def affordable_threads(most: int) -> int:
    """How many threads, at most so many, may look at folders at a time; each opens up to two descriptors for that."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, (soft - KEPT_DESCRIPTORS) // 2))


class Look:
    """Looks at folders one by one. Never raises for what is on disk.

    Args:
        clock_ns: For the moment at which a listing was read; a worker's clock is not trusted, and gives 0.
    """

    def __init__(self, root_fd: int, rules: Rules, *, clock_ns: Callable[[], int] = lambda: 0) -> None:
        self._root_fd = root_fd
        self._settled_before_ns = rules.settled_before_ns
        self._excludes = rules.policy.excludes()
        self._follow_links = rules.policy.follow_links
        self._clock_ns = clock_ns

    def __call__(self, rel_path: str, packed: tuple[Any, ...] | None) -> Sight:
        """What one folder holds; `packed` is its record."""
        same = None if packed is None or self._follow_links else self._as_recorded(rel_path, packed)
        if same is not None:
            return same
        listing = read_folder(
            self._root_fd, rel_path, self._excludes, follow_links=self._follow_links, clock_ns=self._clock_ns
        )
        if is_unchanged(listing, packed):
            return Same(
                len(listing.files),
                listing.links,
                listing.others,
                listing.folders,
                listing.mtime_ns,
                listing.ctime_ns,
                listing.is_plain,
            )
        if packed is None and listing.is_plain and listing.is_readable and rel_path:
            return _new(listing, self._settled_before_ns) or listing
        return listing

    def _as_recorded(self, rel_path: str, packed: tuple[Any, ...]) -> Same | None:
        """The answer for a folder whose entries are as recorded, also in their order; None when a closer look is due.

        Cost: what the system takes to list the folder and look at each file, and as little as can be beside it. This is
        where nearly all of a scan's time goes.
        """
        recorded = packed[6] if packed[6] and not packed[0] else packed[:3]
        if not recorded[0] or packed[7] or (packed[6] and packed[0]):
            return None
        names: list[str] = []
        mtimes_ns: list[int] = []
        sizes_bytes: list[int] = []
        folders: list[str] = []
        links = others = 0
        excludes = self._excludes
        try:
            folder_fd = open_folder(self._root_fd, rel_path)
        except OSError:
            return None
        try:
            own = os.fstat(folder_fd)
            with os.scandir(folder_fd) as entries:
                for entry in entries:
                    name = entry.name
                    if excludes is not None and excludes(name):
                        continue
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        names.append(name)
                        mtimes_ns.append(status.st_mtime_ns)
                        sizes_bytes.append(status.st_size)
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                    elif entry.is_symlink():
                        links += 1
                    else:
                        others += 1
        except OSError:
            return None
        finally:
            os.close(folder_fd)
        folders.sort()
        is_same = (
            SEPARATOR.join(names) == recorded[0]
            and SEPARATOR.join(folders) == packed[5]
            and column_holds(recorded[1], mtimes_ns)
            and column_holds(recorded[2], sizes_bytes)
        )
        if not is_same:
            return None
        return Same(len(names), links, others, folders, own.st_mtime_ns, own.st_ctime_ns, is_plain=not others)


def _new(listing: Listing, settled_before_ns: int) -> New | None:
    mtimes_ns = [fingerprint[0] for fingerprint in listing.files.values()]
    newest_ns = listing.mtime_ns if FOLDER_ITSELF in listing.files else max(mtimes_ns, default=0)
    if newest_ns >= settled_before_ns:
        return None
    sizes_bytes = [fingerprint[1] for fingerprint in listing.files.values()]
    return New(
        listing.rel_path,
        SEPARATOR.join(listing.files),
        packed_column(mtimes_ns),
        packed_column(sizes_bytes),
        len(mtimes_ns),
        sum(sizes_bytes),
        listing.folders,
        listing.kept,
        listing.links,
        listing.mtime_ns,
        listing.ctime_ns,
    )
