"""Reads folders: one Listing each. No state, no Globus.

Folders are opened relative to SRC_DIR's descriptor and their entries are checked relative to their own, so that a path
may be longer than the system's limit for one call, and a folder swapped for a symlink is not followed.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Optional

from autotransfer.common.errors import ConfigurationProblem, reason
from autotransfer.common.files import explained_as
from autotransfer.common.paths import FOLDER_ITSELF, TEST_PREFIX, can_be_sent, join
from autotransfer.datastore.record import EMPTY_FOLDER, Fingerprint
from autotransfer.scan.listing import Listing, PathError, Policy

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Gone or swapped after the folder was listed: not an error, the next run finds what it has become.
MOVED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def open_root(src_dir: str) -> int:
    """A descriptor of SRC_DIR, which may itself be a symlink. The caller closes it.

    Raises:
        ConfigurationProblem: It is missing, no folder, or may not be read.
    """
    remedy = (
        "Mount it or give this user read and search permission on it, or change SRC_DIR in the configuration. Nothing "
        "was sent or recorded."
    )
    with explained_as(ConfigurationProblem, f"Cannot read SRC_DIR {src_dir}", remedy=remedy):
        return os.open(src_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def walk(
    root_fd: int, policy: Policy, *, start: str = "", clock_ns: Callable[[], int] = time.time_ns
) -> Iterator[Listing]:
    """Every folder from `start` down, depth first, parents before children, siblings in order of name.

    Cost: one call to list each folder and one to check each file; holds the names of the folders still to visit.
    """
    excludes = policy.excludes()
    todo = [start]
    while todo:
        rel_path = todo.pop()
        read = read_folder(root_fd, rel_path, excludes, follow_links=policy.follow_links, clock_ns=clock_ns)
        listing = policy.hold(read)
        todo.extend(join(rel_path, name) for name in reversed(listing.folders))
        yield listing


def is_mount_point(folder_fd: int, device: int, root_device: int) -> bool:
    """Whether an open folder of this device, in SRC_DIR of that one, is on another device than the folder it is in.

    Cost: nothing for a folder on SRC_DIR's own device. Devices are compared on the machine that reads them, at one
    moment: their numbers change at boot.
    """
    return device != root_device and device != os.stat("..", dir_fd=folder_fd).st_dev


def read_folder(
    root_fd: int,
    rel_path: str,
    excludes: Callable[[str], object] | None,
    *,
    follow_links: bool,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Listing:
    """What one folder holds now. Never raises for what is on disk: errors are part of the listing."""
    contents = _Contents(rel_path, follow_links=follow_links)
    try:
        with contents.open(root_fd) as folder_fd, os.scandir(folder_fd) as entries:
            for entry in entries:
                name = entry.name
                if excludes is not None and excludes(name):
                    if not name.startswith(TEST_PREFIX):
                        contents.kept.append(name)
                    continue
                try:  # where a listing has no types, asking for one is a call of its own, and may fail
                    if entry.is_file(follow_symlinks=False):
                        contents.add(name, entry.stat(follow_symlinks=False))
                    elif entry.is_dir(follow_symlinks=False):
                        contents.folders.append(name)
                    elif entry.is_symlink():
                        contents.add_link(name)
                    else:
                        contents.special_files += 1
                except OSError as error:
                    if error.errno in MOVED:
                        contents.add_moved(name, error)
                    else:
                        contents.add_error(name, reason(error))
    except OSError as error:  # also when the listing itself broke off: what it missed is unknown
        return _unreadable(rel_path, error, clock_ns())
    return contents.listing(clock_ns(), is_complete=True)


def read_names(
    root_fd: int, rel_path: str, names: Iterable[str], *, follow_links: bool, clock_ns: Callable[[], int] = time.time_ns
) -> Listing:
    """What one folder holds of some names, none of them excluded; no other is checked.

    A name that is nowhere in the listing does not exist, or is nothing that is sent. The listing is never plain.

    Cost: one call for each name; where one of them does not exist, one more to list the folder, which may name it.
    """
    contents = _Contents(rel_path, follow_links=follow_links)
    gone: dict[str, OSError] = {}
    try:
        with contents.open(root_fd) as folder_fd:
            for name in names:
                try:
                    contents.add(name, os.stat(name, dir_fd=folder_fd, follow_symlinks=False))
                except OSError as error:
                    if error.errno in MOVED:
                        gone[name] = error
                    elif error.errno != errno.ENAMETOOLONG:
                        contents.add_error(name, reason(error))
            for name in gone.keys() & (os.listdir(folder_fd) if gone else ()):
                contents.add_moved(name, gone[name])
    except OSError as error:
        return _unreadable(rel_path, error, clock_ns())
    return contents.listing(clock_ns(), is_complete=False)


# The key of each folder's record is its whole path, and so cost grows with the square of the depth.
MOST_LEVELS = 1000
TOO_DEEP = "it lies more than 1,000 folders deep, where nothing is read"


class _Contents:
    """Sorts the entries of one folder by what they are; see Listing."""

    def __init__(self, rel_path: str, *, follow_links: bool) -> None:
        self._rel_path = rel_path
        self._follow_links = follow_links
        self._has_followed = False
        self.files: dict[str, Fingerprint] = {}
        self.ctime_lags_ns: dict[str, int] = {}
        self.folders: list[str] = []
        self.kept: list[str] = []
        self.errors: list[PathError] = []
        self.moved: list[PathError] = []
        self.links = self.special_files = 0

    @contextmanager
    def open(self, root_fd: int) -> Iterator[int]:
        """The folder's descriptor; its own times are read first."""
        self._folder_fd = open_folder(root_fd, self._rel_path)
        try:
            self._own = os.fstat(self._folder_fd)
            self._is_mount = is_mount_point(self._folder_fd, self._own.st_dev, os.fstat(root_fd).st_dev)
            yield self._folder_fd
        finally:
            os.close(self._folder_fd)

    def add(self, name: str, status: os.stat_result) -> None:
        """Add an entry by its own status, which is not that of a link's target."""
        mode = status.st_mode
        if stat.S_ISREG(mode):
            self._add_file(name, status)
        elif stat.S_ISDIR(mode):
            self.folders.append(name)
        elif stat.S_ISLNK(mode):
            self.add_link(name)
        else:
            self.special_files += 1

    def add_link(self, name: str) -> None:
        """Add a symlink: as the file it leads to, where links are followed and it leads to one."""
        if self._follow_links:
            try:
                status = os.stat(name, dir_fd=self._folder_fd)
            except OSError as error:
                self.add_error(name, f"symlink cannot be followed: {reason(error)}")
                return
            if stat.S_ISREG(status.st_mode):
                self._add_file(name, status)
                self._has_followed = True
                return
        self.links += 1

    def _add_file(self, name: str, status: os.stat_result) -> None:
        self.files[name] = (status.st_mtime_ns, status.st_size)
        if lag_ns := status.st_ctime_ns - status.st_mtime_ns:
            self.ctime_lags_ns[name] = lag_ns

    def add_error(self, name: str, why: str) -> None:
        """Add an entry that cannot be checked; its record stays."""
        self.errors.append(PathError(join(self._rel_path, name), why))
        self.kept.append(name)

    def add_moved(self, name: str, error: OSError) -> None:
        """Add an entry that was not there any more; its record stays."""
        self.moved.append(PathError(join(self._rel_path, name), reason(error)))
        self.kept.append(name)

    def listing(self, seen_at_ns: int, *, is_complete: bool) -> Listing:
        """Everything that was added; `is_complete`: whether that is all the folder holds."""
        self.errors += _remove_unsendable(self._rel_path, self.files, self.folders)
        if self._rel_path.count("/") + 1 >= MOST_LEVELS:
            for name in self.folders:
                self.add_error(name, TOO_DEEP)
            self.folders = []
        has_unsent = bool(self.errors or self.special_files or self.moved)
        if is_complete and self._rel_path and not (self.files or self.folders or has_unsent):
            self.files[FOLDER_ITSELF] = EMPTY_FOLDER
        # A damaged or badly cached folder may list a name twice.
        folders = sorted(set(self.folders) - self.files.keys())
        return Listing(
            self._rel_path,
            self.files,
            folders,
            frozenset(self.kept),
            tuple(self.errors),
            seen_at_ns,
            self._own.st_mtime_ns,
            is_plain=is_complete and not (has_unsent or self._has_followed),
            is_readable=True,
            links=self.links,
            special_files=self.special_files,
            moved=tuple(self.moved),
            ctime_ns=self._own.st_ctime_ns,
            ctime_lags_ns=self.ctime_lags_ns,
            is_mount=self._is_mount,
        )


def open_folder(root_fd: int, rel_path: str) -> int:
    """A descriptor of a folder below the root, however long its path is. The caller closes it.

    No symlink is followed, not even one that is put in place of a folder above at this moment.
    """
    if "/" not in rel_path:
        return os.open(rel_path or ".", OPEN_FOLDER, dir_fd=root_fd)
    try:
        folder_fd = os.open(rel_path, OPEN_FOLDER, dir_fd=root_fd)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return _open_in_steps(root_fd, rel_path)
    try:  # Linux reports which folder this is; elsewhere, and when in doubt, each step is opened by itself
        if os.readlink(f"/proc/self/fd/{folder_fd}").endswith(f"/{rel_path}"):
            return folder_fd
    except OSError:
        pass
    os.close(folder_fd)
    return _open_in_steps(root_fd, rel_path)


def _open_in_steps(root_fd: int, rel_path: str) -> int:
    folder_fd = os.open(".", OPEN_FOLDER, dir_fd=root_fd)
    for name in rel_path.split("/"):
        try:
            deeper_fd = os.open(name, OPEN_FOLDER, dir_fd=folder_fd)
        finally:
            os.close(folder_fd)
        folder_fd = deeper_fd
    return folder_fd


class PathReader:
    """Reads single paths again, by the same rules as the scan; keeps the last folder open.

    Args:
        why_missing: Says of a folder why it is not read.
    """

    def __init__(
        self, root_fd: int, *, follow_links: bool, why_missing: Callable[[str], str] = lambda rel_path: ""
    ) -> None:
        self._why_missing = why_missing
        self._root_fd = root_fd
        self._follow_links = follow_links
        self._folder: str | None = None
        self._folder_fd: int | None = None

    def __call__(self, folder: str, name: str) -> Optional[tuple[Fingerprint, int]]:
        """The path's fingerprint now and its ctime - mtime, or None when it is gone or no longer a regular file.

        Raises:
            OSError: It cannot be checked.
        """
        if folder != self._folder:
            self.close()
            if why := self._why_missing(folder):
                raise OSError(errno.ENODEV, why)
            self._folder = folder
            try:
                self._folder_fd = open_folder(self._root_fd, folder)
            except OSError as error:
                if error.errno not in MOVED:
                    self._folder = None
                    raise
        if self._folder_fd is None:
            return None
        if name == FOLDER_ITSELF:
            return EMPTY_FOLDER, 0
        try:
            status = os.stat(name, dir_fd=self._folder_fd, follow_symlinks=self._follow_links)
        except OSError as error:
            if error.errno not in MOVED:
                raise
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return (status.st_mtime_ns, status.st_size), status.st_ctime_ns - status.st_mtime_ns

    def close(self) -> None:
        """Close the open folder."""
        if self._folder_fd is not None:
            os.close(self._folder_fd)
        self._folder = self._folder_fd = None


def _remove_unsendable(rel_path: str, files: dict[str, Fingerprint], folders: list[str]) -> list[PathError]:
    # All names are checked together: nearly every folder is plain ASCII.
    if can_be_sent("/".join(files)) and can_be_sent("/".join(folders)):
        return []
    bad = [name for name in (*files, *folders) if not can_be_sent(name)]
    for name in bad:
        if files.pop(name, None) is None:
            folders.remove(name)
    return [PathError(join(rel_path, name), _why_unsendable(name)) for name in bad]


def _why_unsendable(name: str) -> str:
    if "\r\n" in name:
        return "Globus allows no name with CR LF in it; rename it"
    if name.startswith("\ufffd"):
        return "Globus takes a name that begins with U+FFFD for other bytes; rename it"
    return "its name is not UTF-8, so Globus cannot carry it; rename it"


def _unreadable(rel_path: str, error: OSError, now_ns: int) -> Listing:
    why = (PathError(rel_path, reason(error)),)
    errors, moved = ((), why) if error.errno in MOVED else (why, ())
    return Listing(rel_path, {}, [], frozenset(), errors, now_ns, 0, False, False, 0, 0, moved)
