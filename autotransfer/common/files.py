"""Our own files in CODE_PATH: opened owner-only, never through a link, never anything but a regular file."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from autotransfer.common.errors import ConfigurationProblem, reason

NAMES = ("lock", "log", "datastore", "alerts.json", "tokens.db")


NOTHING = "Nothing was sent or recorded."


def open_own(path: str, flags: int) -> int:
    """A descriptor of the file, made if need be, owner-only from its first instant and where its mode was looser.

    Raises:
        ConfigurationProblem: It is something else than a file, or cannot be opened.
    """
    try:
        # O_NONBLOCK: a pipe put in its place would otherwise hold this run, and with it the lock, for ever.
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
    """Make sure that a file of ours, if it is there, can be used; gives whether it is there.

    Raises:
        ConfigurationProblem: It is something else than a file, or this user may not write it.
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
    if not os.access(folder, os.W_OK | os.X_OK):
        what = f"Cannot write in CODE_PATH {folder}"
        remedy = "Make the folder, or give this user write permission on it."
    elif error.errno in (errno.EACCES, errno.EPERM):
        what = f"Cannot open {path}"
        remedy = (
            "It belongs to another user, as after a run as root: make it this user's own, or delete it while no run is "
            "active."
        )
    else:
        what = f"Cannot open {path}"
        remedy = "Check its disk: it may be full, or no longer there."
    return ConfigurationProblem(what, why=reason(error), remedy=f"{remedy} {NOTHING}")


def _not_a_file(path: str, mode: int) -> ConfigurationProblem:
    kinds = {stat.S_IFLNK: "a symbolic link, which is not followed here", stat.S_IFDIR: "a folder"}
    kind = kinds.get(stat.S_IFMT(mode), "a device, socket or pipe")
    return ConfigurationProblem(
        f"{path} is {kind}", remedy=f"Move it away; a file of that name is made anew. {NOTHING}"
    )


@contextmanager
def replaced(path: str, *, keeps_mode: bool = False) -> Iterator[IO[str]]:
    """A stream whose content takes the file's place once the block has ended well; until then the old one stays.

    The file is this user's own (mode 0600). Should the block fail, nothing is left behind.

    Args:
        path: The file.
        keeps_mode: Whether it gets the permissions of the one that was there, which its owner may have changed.

    Raises:
        ConfigurationProblem: It cannot be written.
    """
    folder, name = os.path.split(os.path.abspath(path))
    try:
        # Not through a link, and never over a device or a pipe.
        if os.path.lexists(path) and not (os.path.isfile(path) and not os.path.islink(path)):
            raise ConfigurationProblem(
                f"{path} is no regular file",
                remedy="Give another name, or - for standard output. Nothing was written.",
            )
        mode = stat.S_IMODE(os.stat(path).st_mode) & 0o666 if keeps_mode and os.path.lexists(path) else 0o600
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
    except OSError as error:
        raise ConfigurationProblem(
            f"Cannot write {path}",
            why=reason(error),
            remedy="Check its folder and the room on its disk. What was there under this name is unharmed.",
        ) from None
