"""Our own files in CODE_PATH: opened owner-only, never through a link, never anything but a regular file.

Also what a person reads when the system refuses a file.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Union

from autotransfer.common.errors import ConfigurationProblem, Problem, reason

# All that this tool keeps in CODE_PATH.
NAMES = ("lock", "log", "log.1", "datastore", "alerts.json", "tokens.db")
NOTHING = "Nothing was sent or recorded."


@contextmanager
def explained_as(
    kind: Callable[..., Problem],
    what: str,
    *,
    remedy: str,
    errors: Union[type[Exception], tuple[type[Exception], ...]] = OSError,
) -> Iterator[None]:
    """Turn an error of these classes in the block into a problem, whose reason is the error's own words."""
    try:
        yield
    except errors as error:
        raise kind(what, why=reason(error), remedy=remedy) from None


def open_own(path: str, flags: int) -> int:
    """A descriptor of the file, which is created if need be: owner-only from its first instant, or from now on.

    Raises:
        ConfigurationProblem: It is not a regular file, or cannot be opened.
    """
    try:
        # O_NONBLOCK: or a pipe in its place would hold this run, and with it the lock, for ever.
        own_fd = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise _unusable(path, error) from None
    status = os.fstat(own_fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(own_fd)
        raise _not_a_file(path, status.st_mode)
    if status.st_mode & 0o077:
        try:
            os.fchmod(own_fd, 0o600)
        except OSError as error:
            os.close(own_fd)
            raise _unusable(path, error) from None
    return own_fd


def refuse_unusable(path: str) -> bool:
    """Check that a file of ours can be used if it exists; returns whether it does.

    Raises:
        ConfigurationProblem: It is not a regular file, or this user may not write it.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise _not_a_file(path, status.st_mode)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW))
    except OSError as error:
        raise _unusable(path, error) from None
    return True


def _unusable(path: str, error: OSError) -> ConfigurationProblem:
    if error.errno in (errno.ELOOP, errno.EMLINK):  # what O_NOFOLLOW says of a link, here and on BSD
        return _not_a_file(path, stat.S_IFLNK)
    if error.errno == errno.EISDIR:
        return _not_a_file(path, stat.S_IFDIR)
    if error.errno == errno.ENXIO:  # a pipe that nobody reads
        return _not_a_file(path, stat.S_IFIFO)
    folder = os.path.dirname(path)
    what = f"Cannot open {path}" if os.access(folder, os.W_OK | os.X_OK) else f"Cannot write in CODE_PATH {folder}"
    return ConfigurationProblem(what, why=reason(error), remedy=f"{what_to_do(path, error)} {NOTHING}")


def what_to_do(path: str, error: Exception | None = None) -> str:
    """What to do when a file of ours cannot be opened or written; never to delete it: some cannot be made anew."""
    folder = os.path.dirname(path)
    code = getattr(error, "errno", None)
    try:
        is_read_only = code == errno.EROFS or bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return f"Make the folder {folder}, or correct CODE_PATH."
    except OSError:
        is_read_only = False
    if is_read_only:
        return f"The file system of {folder} is read-only: have it mounted for writing, or move CODE_PATH."
    for place, rights in ((folder, os.W_OK | os.X_OK), (path, os.R_OK | os.W_OK)):
        if os.path.lexists(place) and not os.access(place, rights):
            return _how_to_open(place)
    return _how_to_open(path) if code in (errno.EACCES, errno.EPERM) else disk_remedy(error)


def _how_to_open(place: str) -> str:
    import shlex  # only here

    try:
        owner = os.stat(place).st_uid
    except OSError:
        return "Give this user permission on the folders above it."
    if owner == os.geteuid():
        rights = "u+rwx" if os.path.isdir(place) else "u+rw"
        return f"Give this user the right to write there: `chmod {rights} {shlex.quote(place)}`."
    return (
        f"It belongs to another user, as after a run as root. Make it this user's own with `sudo chown {os.geteuid()} "
        f"{shlex.quote(place)}`, or run this as that user."
    )


def disk_remedy(error: Exception | None) -> str:
    """What to do about a disk that takes nothing more."""
    remedies = {
        errno.ENOSPC: "Free space on its disk.",
        errno.EDQUOT: "Free space there, or ask for a larger quota.",
        errno.EFBIG: "Raise the limit on the size of files (`ulimit -f`).",
        errno.EROFS: "Have its file system mounted for writing.",
    }
    return remedies.get(getattr(error, "errno", None) or 0, "Check its disk: it may be full, or no longer there.")


def _not_a_file(path: str, mode: int) -> ConfigurationProblem:
    kinds = {stat.S_IFLNK: "a symbolic link, which is not followed here", stat.S_IFDIR: "a folder"}
    kind = kinds.get(stat.S_IFMT(mode), "a device, socket or pipe")
    return ConfigurationProblem(
        f"{path} is {kind}", remedy=f"Move it away; a file of that name is made anew. {NOTHING}"
    )


@contextmanager
def atomic_write(path: str, *, mode: int = 0o600) -> Iterator[IO[str]]:
    """A stream whose content takes the file's place once the block has ended without error.

    Until then the old file stays; whatever happens, also a power failure, the old or the new one is there as a whole.

    Args:
        mode: The permissions of the new file.

    Raises:
        OSError: It cannot be written. The old file is unharmed, and nothing is left beside it.
    """
    folder, name = os.path.split(os.path.abspath(path))
    file_fd, partial = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".part", dir=folder)
    try:
        with os.fdopen(file_fd, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    with suppress(OSError):  # some file systems sync no folder, and this user may not be allowed to read it
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder_fd)
        finally:
            os.close(folder_fd)


@contextmanager
def replaced(path: str, *, keeps_mode: bool = False) -> Iterator[IO[str]]:
    """`atomic_write` for a file that the user named: owner-only, and never through a link or over a device or pipe.

    Args:
        keeps_mode: Whether it keeps the permissions of the file that was there, which its owner may have changed.

    Raises:
        ConfigurationProblem: It cannot be written.
    """
    remedy = "Check its folder and the free space on its disk. The file that was there is unharmed."
    with explained_as(ConfigurationProblem, f"Cannot write {path}", remedy=remedy):
        status = os.lstat(path) if os.path.lexists(path) else None
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise ConfigurationProblem(
                f"{path} is no regular file", remedy="Give another name, or - for standard output. Nothing was written."
            )
        mode = stat.S_IMODE(status.st_mode) & 0o666 if status is not None and keeps_mode else 0o600
        with atomic_write(path, mode=mode) as stream:
            yield stream
