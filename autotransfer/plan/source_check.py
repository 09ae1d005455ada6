"""Whether SRC_DIR, and each disk that is mounted inside it, is still the folder that the records are about.

A folder is known again by its inode and its birth time: these survive a reboot, which changes the device numbers of
many disks. Where a file system has no birth times, inode, device and file system ID stand in. When these differ, the
folder may have been restored, or moved to another disk or server. Then half of what was recorded at its top must be
there: as many files of a sample with recorded size and time, and folders that hold such files. Names alone would not
do, because disks of one laboratory use the same ones. Names are enough where only the device number has changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Optional

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.files import explained_as
from autotransfer.common.paths import FOLDER_ITSELF, join, split
from autotransfer.common.settings import Settings
from autotransfer.common.times import NS_PER_SECOND
from autotransfer.datastore.record import Folder
from autotransfer.datastore.store import EMPTY_IS_MEANT, MOUNTS, Store
from autotransfer.datastore.trie import PathTrie
from autotransfer.scan.folders import PathReader, is_mount_point, open_folder
from autotransfer.scan.linux import entries
from autotransfer.scan.listing import Policy, policy

# What any disk may have at its top.
COMMON_NAMES = (
    *("lost+found", ".Trash*", ".snapshot*", ".zfs", "System Volume Information", "$RECYCLE.BIN", "RECYCLER"),
    *(".DS_Store", ".Spotlight-V100", ".fseventsd", ".TemporaryItems", ".DocumentRevisions-V100", ".apdisk"),
    *("Thumbs.db", "desktop.ini", "@eaDir", "#recycle", "#snapshot", "aquota.*", "quota.user", "quota.group"),
)

# Of the names at the top that many are checked, of those in a folder, and of all together.
MOST_AT_TOP, MOST_IN_FOLDER, MOST_READ = 200, 16, 5000

# The step of FAT's times; a restored file may have lost what is below a step.
TIME_STEP_NS = 2 * NS_PER_SECOND

DISK_MISSING = "the disk that was mounted there is missing, or another is in its place; what was recorded of it is kept"


class Identity(NamedTuple):
    """What tells a folder from another; an inode of 0 and a birth of 0 are not known."""

    device: int
    inode: int = 0
    file_system: int = 0
    born_ns: int = 0

    @classmethod
    def of(cls, folder_fd: int) -> Identity:
        """That of an open folder."""
        status = os.fstat(folder_fd)
        try:
            file_system = os.fstatvfs(folder_fd).f_fsid
        except OSError:
            file_system = 0
        return cls(status.st_dev, status.st_ino, file_system, entries().born_ns(folder_fd))

    def is_same(self, now: Identity) -> bool:
        """Whether a folder that had this identity has now that one."""
        if not self.inode:
            return self.device == now.device
        if self.born_ns and now.born_ns:
            return self[1::2] == now[1::2]
        return self[:3] == now[:3]

    def may_be_same(self, now: Identity) -> bool:
        """Whether perhaps only the device number has changed."""
        return self.inode == now.inode and not (self.born_ns and now.born_ns)


def is_bare_folder(settings: Settings, trie: PathTrie, root_fd: int) -> bool:
    """Whether SRC_DIR holds nothing but what any disk has; what was recorded is more than that.

    Raises:
        ConfigurationProblem: It cannot be read.
    """
    remedy = "Check its disk or its mount. Nothing was sent or recorded."
    refused = explained_as(ConfigurationProblem, f"Cannot read SRC_DIR {settings.src_dir}", remedy=remedy)
    with refused, os.scandir(root_fd) as found:
        common = set()
        for entry in found:
            if not _is_common(entry.name):
                return False
            common.add(entry.name)
    record = trie.record("")
    return not (common and record is not None and common & record.recorded_names())


def check_root(settings: Settings, store: Store, root_fd: int) -> None:
    """Refuse a SRC_DIR that looks like another folder, or a disk that is not mounted.

    Raises:
        ConfigurationProblem: There are records, and SRC_DIR is empty, or it is another folder than at the last run and
            holds less than half of what was recorded at its top.
    """
    if store.trie.is_empty:
        return
    is_bare = is_bare_folder(settings, store.trie, root_fd)
    if is_bare and store.shelf.get(EMPTY_IS_MEANT):
        return
    device = store.shelf.get("DEVICE")  # by a version that recorded no more
    before = _identities(store.shelf.get(MOUNTS)).get("", None if device is None else Identity(device))
    if is_bare:
        what = "is empty, but the datastore has records of files in it"
    elif before is not None and not before.is_same(now := Identity.of(root_fd)):
        comparing = _Comparing(settings, store.trie, root_fd, by_name=before.may_be_same(now))
        there, checked = comparing.top("")
        if 2 * there >= checked:
            return
        what = (
            f"is another folder or disk than at the last run: {there:,} of {checked:,} names recorded at its top are "
            "there unchanged"
        )
    else:
        return
    is_right = "run `set_time.py now`"
    if not is_bare:
        is_right = (
            "run `set_time.py 1970-01-02`: what was delivered and is unchanged counts as delivered, everything else is "
            "sent (with `now`, everything that is there counts as delivered)"
        )
    remedy = f"If not, mount it. If SRC_DIR is right as it is, {is_right}. Nothing was sent, and no record was dropped."
    raise ConfigurationProblem(f"SRC_DIR {settings.src_dir} {what}. Is its disk mounted?", remedy=remedy)


def source_policy(settings: Settings, trie: PathTrie, mounts: Optional[dict[str, Any]], root_fd: int) -> Policy:
    """The settings that a scan follows, and which disks inside SRC_DIR are missing or must stay.

    Args:
        mounts: What the datastore has under MOUNTS.

    Cost: a few system calls for each disk that was mounted inside SRC_DIR.
    """
    wanted = policy(settings)
    excludes = wanted.excludes()
    missing: dict[str, dict[str, str]] = {}
    present = set()
    for rel_path, before in _identities(mounts).items():
        if not rel_path or any(map(excludes, rel_path.split("/"))) or not _holds_records(trie, rel_path):
            continue
        is_mounted = _is_right(settings, trie, root_fd, rel_path, before)
        if is_mounted is None:
            folder, name = split(_first_absent(root_fd, rel_path))
            given_up = settings.set_time_command(rel_path, "now")
            missing.setdefault(folder, {})[name] = f"{DISK_MISSING}. Mount it. If it is gone for good, run `{given_up}`"
        elif is_mounted:
            present.add(rel_path)
    return wanted._replace(missing=missing, mounts=frozenset(present))


def note_folders(store: Store, root_fd: int, wanted: Policy, found: Iterable[str]) -> None:
    """Record what SRC_DIR is, and which folders in it are mount points.

    Args:
        wanted: What `source_policy` returned before the scan.
        found: The mount points that the scan read.
    """
    before = _identities(store.shelf.get(MOUNTS))
    excludes = wanted.excludes()
    now = {"": Identity.of(root_fd)}
    for rel_path, identity in before.items():
        # What is neither missing nor mounted is an ordinary folder now, with the contents that the disk had.
        is_excluded = any(map(excludes, rel_path.split("/")))
        if rel_path and (rel_path in wanted.mounts or wanted.why_missing(rel_path) or is_excluded):
            now[rel_path] = identity
    for rel_path in found:
        try:
            folder_fd = open_folder(root_fd, rel_path)
        except OSError:
            continue
        try:
            if is_mount_point(folder_fd, os.fstat(folder_fd).st_dev, now[""].device):
                now[rel_path] = Identity.of(folder_fd)
        finally:
            os.close(folder_fd)
    if now != before:
        store.shelf[MOUNTS] = {rel_path: tuple(identity) for rel_path, identity in now.items()}
        store.shelf.pop("DEVICE", None)


def forget_folder(store: Store, rel_path: str) -> bool:
    """Forget what a folder was: the next run takes it as it is. Returns whether anything was known."""
    before = store.shelf.get(MOUNTS) or {}
    if rel_path in before:
        store.shelf[MOUNTS] = {other: identity for other, identity in before.items() if other != rel_path}
    return rel_path in before


def _identities(mounts: Optional[dict[str, Any]]) -> dict[str, Identity]:
    return {rel_path: Identity(*fields) for rel_path, fields in (mounts or {}).items()}


def _is_common(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in COMMON_NAMES)


def _holds_records(trie: PathTrie, rel_path: str) -> bool:
    record = trie.record(rel_path)
    return record is not None and bool(record.recorded_names() - {FOLDER_ITSELF})


def _is_right(settings: Settings, trie: PathTrie, root_fd: int, rel_path: str, before: Identity) -> bool | None:
    """Whether something is mounted at what was a mount point; None where its contents are not what is recorded."""
    try:
        folder_fd = open_folder(root_fd, rel_path)
    except OSError:
        return None
    try:
        now = Identity.of(folder_fd)
        is_mounted = is_mount_point(folder_fd, now.device, os.fstat(root_fd).st_dev)
    except OSError:
        return None
    finally:
        os.close(folder_fd)
    if not before.is_same(now):
        there, checked = _Comparing(settings, trie, root_fd, by_name=before.may_be_same(now)).top(rel_path)
        if 2 * there < checked:
            return None
    return is_mounted


def _first_absent(root_fd: int, rel_path: str) -> str:
    """The topmost folder on the way to a path that cannot be opened; the path itself if all can."""
    at = ""
    for name in rel_path.split("/"):
        at = join(at, name)
        try:
            os.close(open_folder(root_fd, at))
        except OSError:
            return at
    return at


class _Comparing:
    """Finds out how much of what was recorded of a folder is there. Reads a sample, and stops after MOST_READ paths.

    Args:
        by_name: Whether a path is there whatever its size and time.
    """

    def __init__(self, settings: Settings, trie: PathTrie, root_fd: int, *, by_name: bool) -> None:
        self._trie = trie
        self._read = PathReader(root_fd, follow_links=policy(settings).follow_links)
        self._by_name = by_name
        self._left = MOST_READ

    def top(self, rel_path: str) -> tuple[int, int]:
        """How many of the names that were recorded in a folder are there, and how many were checked."""
        folder = self._trie.folder(rel_path)
        names = _names(folder)
        chosen = _sample([name for name in names if not _is_common(name)] or names, MOST_AT_TOP)
        try:
            return sum(self._is_there(rel_path, folder, name) for name in chosen), len(chosen)
        finally:
            self._read.close()

    def _is_there(self, rel_path: str, folder: Folder, name: str) -> bool:
        self._left -= 1
        if self._left < 0:
            return False
        records = [each.get(name) for each in (folder.delivered, folder.in_flight, folder.retries)]
        known = [record.fingerprint for record in records if record is not None]
        if known:
            seen = self._seen(rel_path, name)
            if seen is not None and (self._by_name or any(_is_alike(seen, one) for one in known)):
                return True
        return name in folder.folders and self._has_one(join(rel_path, name))

    def _has_one(self, rel_path: str) -> bool:
        """Whether a folder is there, with one of the paths that were recorded in it, or below it."""
        if self._seen(rel_path, FOLDER_ITSELF) is None:
            return False
        folder = self._trie.folder(rel_path)
        chosen = [] if self._by_name else _sample(_names(folder), MOST_IN_FOLDER)
        return not chosen or any(self._is_there(rel_path, folder, name) for name in chosen)

    def _seen(self, rel_path: str, name: str) -> tuple[int, int] | None:
        try:
            seen = self._read(rel_path, name)
        except OSError:
            return None
        return None if seen is None else seen[0]


def _names(folder: Folder) -> list[str]:
    return sorted({*folder.delivered, *folder.in_flight, *folder.retries, *folder.folders} - {FOLDER_ITSELF})


def _sample(names: Sequence[str], most: int) -> list[str]:
    return [names[number * len(names) // most] for number in range(most)] if len(names) > most else list(names)


def _is_alike(seen: tuple[int, int], known: tuple[int, int]) -> bool:
    return seen[1] == known[1] and abs(seen[0] - known[0]) <= TIME_STEP_NS
