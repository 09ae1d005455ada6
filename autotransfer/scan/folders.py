"""Walk a tree fast: one Listing per folder, parents before children. No state, no Globus.

Folders are opened relative to SRC_DIR's descriptor and their entries are looked at relative to their own, so that a
path may be longer than the system's limit for one call, and a folder swapped for a symlink is not followed.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Optional

from autotransfer.common.errors import ConfigurationProblem, reason
from autotransfer.common.paths import FOLDER_ITSELF, can_be_sent, join
from autotransfer.datastore.record import EMPTY_FOLDER, Fingerprint
from autotransfer.scan.listing import Listing, PathError, Policy

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


# Gone or swapped between the listing and the look: not an error, the next run sees what it has become.
MOVED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def open_root(src_dir: str) -> int:
    """A descriptor of SRC_DIR, which may itself be a symlink. The caller closes it.

    Raises:
        ConfigurationProblem: It is missing, no folder, or may not be read.
    """
    try:
        return os.open(src_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationProblem(
            f"Cannot read SRC_DIR {src_dir}",
            why=reason(error),
            remedy="Mount it or give this user read and search permission on it, or change SRC_DIR in the "
            "configuration. Nothing was sent or recorded.",
        ) from None


def walk(
    root_fd: int, policy: Policy, *, start: str = "", clock_ns: Callable[[], int] = time.time_ns
) -> Iterator[Listing]:
    """Every folder from `start` down, depth first, parents before children, siblings in order of name.

    Cost: one call to list each folder and one to look at each file; holds the names of the folders still to visit.
    """
    excludes = policy.excludes()
    todo = [start]
    while todo:
        rel_path = todo.pop()
        listing = read_folder(root_fd, rel_path, excludes, follow_links=policy.follow_links, clock_ns=clock_ns)
        todo.extend(join(rel_path, name) for name in reversed(listing.folders))
        yield listing


def read_folder(
    root_fd: int,
    rel_path: str,
    excludes: Callable[[str], object] | None,
    *,
    follow_links: bool,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Listing:
    """What one folder holds now. Never raises for what is on disk: errors are part of the answer."""
    files: dict[str, Fingerprint] = {}
    folders: list[str] = []
    kept: list[str] = []
    errors: list[PathError] = []
    links = others = moved = followed = 0
    is_regular = stat.S_ISREG
    try:
        folder_fd = open_folder(root_fd, rel_path)
    except OSError as error:
        return _unreadable(rel_path, error, clock_ns())
    try:
        own = os.fstat(folder_fd)
        with os.scandir(folder_fd) as entries:
            for entry in entries:
                name = entry.name
                if excludes is not None and excludes(name):
                    kept.append(name)
                    continue
                try:  # where a listing gives no types, asking for one is a look of its own, and may fail
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        if is_regular(status.st_mode):
                            files[name] = (status.st_mtime_ns, status.st_size)
                        else:
                            kept.append(name)
                            moved += 1
                        continue
                    is_folder = entry.is_dir(follow_symlinks=False)
                except OSError as error:
                    kept.append(name)
                    if error.errno in MOVED:
                        moved += 1
                    else:
                        errors.append(PathError(join(rel_path, name), reason(error)))
                    continue
                if is_folder:
                    folders.append(name)
                elif not entry.is_symlink():
                    others += 1
                elif not follow_links:
                    links += 1
                else:
                    target = _link_target(folder_fd, join(rel_path, name), name)
                    if target is None:
                        links += 1
                    elif isinstance(target, PathError):
                        errors.append(target)
                        kept.append(name)
                    else:
                        files[name] = target
                        followed += 1
    except OSError as error:  # the listing itself broke off: what it missed is unknown
        return _unreadable(rel_path, error, clock_ns())
    finally:
        os.close(folder_fd)
    unsendable = _take_out_unsendable(rel_path, files, folders)
    errors.extend(unsendable)
    is_bare = not (files or folders or errors or others or moved)
    if is_bare and rel_path:
        files[FOLDER_ITSELF] = EMPTY_FOLDER
    folders.sort()
    return Listing(
        rel_path,
        files,
        folders,
        frozenset(kept),
        tuple(errors),
        clock_ns(),
        own.st_mtime_ns,
        is_plain=not (errors or others or moved or followed),
        is_readable=True,
        links=links,
        special_files=others,
        moved=moved,
        ctime_ns=own.st_ctime_ns,
    )


def read_names(
    root_fd: int,
    rel_path: str,
    names: Iterable[str],
    *,
    follow_links: bool,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Listing:
    """What one folder holds of some names, none of them excluded; the others are not looked at.

    A name that is in no part of the answer is not there, or is nothing that is sent. It is never plain.
    """
    files: dict[str, Fingerprint] = {}
    folders: list[str] = []
    kept: list[str] = []
    errors: list[PathError] = []
    links = others = 0
    try:
        folder_fd = open_folder(root_fd, rel_path)
    except OSError as error:
        return _unreadable(rel_path, error, clock_ns())
    try:
        own = os.fstat(folder_fd)
        for name in names:
            try:
                status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            except OSError as error:
                if error.errno not in (*MOVED, errno.ENAMETOOLONG):
                    errors.append(PathError(join(rel_path, name), reason(error)))
                    kept.append(name)
                continue
            if stat.S_ISREG(status.st_mode):
                files[name] = (status.st_mtime_ns, status.st_size)
            elif stat.S_ISDIR(status.st_mode):
                folders.append(name)
            elif not stat.S_ISLNK(status.st_mode):
                others += 1
            else:
                target = _link_target(folder_fd, join(rel_path, name), name) if follow_links else None
                if target is None:
                    links += 1
                elif isinstance(target, PathError):
                    errors.append(target)
                    kept.append(name)
                else:
                    files[name] = target
    finally:
        os.close(folder_fd)
    errors.extend(_take_out_unsendable(rel_path, files, folders))
    folders.sort()
    return Listing(
        rel_path,
        files,
        folders,
        frozenset(kept),
        tuple(errors),
        clock_ns(),
        own.st_mtime_ns,
        is_plain=False,
        is_readable=True,
        links=links,
        special_files=others,
        moved=0,
        ctime_ns=own.st_ctime_ns,
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
    try:  # Linux tells which folder this is; elsewhere, and when in doubt, each step is made by itself
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
    """Looks at single paths again, by the same rules as the scan; keeps the last folder open."""

    def __init__(self, root_fd: int, *, follow_links: bool) -> None:
        self._root_fd = root_fd
        self._follow_links = follow_links
        self._folder: str | None = None
        self._folder_fd: int | None = None

    def __call__(self, folder: str, name: str) -> Optional[Fingerprint]:
        """The path's fingerprint now, or None when it is gone or no longer a regular file.

        Raises:
            OSError: It cannot be looked at.
        """
        if folder != self._folder:
            self.close()
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
            return EMPTY_FOLDER
        try:
            status = os.stat(name, dir_fd=self._folder_fd, follow_symlinks=self._follow_links)
        except OSError as error:
            if error.errno not in MOVED:
                raise
            return None
        return (status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None

    def close(self) -> None:
        """Give the open folder back."""
        if self._folder_fd is not None:
            os.close(self._folder_fd)
        self._folder = self._folder_fd = None


def _link_target(folder_fd: int, rel_path: str, name: str) -> Fingerprint | PathError | None:
    try:
        status = os.stat(name, dir_fd=folder_fd)
    except OSError as error:
        return PathError(rel_path, f"symlink cannot be followed: {reason(error)}")
    return (status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None


def _take_out_unsendable(rel_path: str, files: dict[str, Fingerprint], folders: list[str]) -> list[PathError]:
    # One look at all names together: nearly every folder is plain ASCII.
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
    is_moved = error.errno in MOVED
    errors = () if is_moved else (PathError(rel_path, reason(error)),)
    return Listing(rel_path, {}, [], frozenset(), errors, now_ns, 0, False, False, 0, 0, int(is_moved))
