"""The trees that are measured: empty files as a beamline writes them, three levels deep, 50 in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

FILES_A_FOLDER = 50
BEAMS, MONTHS = 10, 12
CHANGE = b"changed"
# The first file's modification time: 2020-01-01, at least as long ago as any SETTLE_SECONDS. Each further file is dated
# 10 ms later, as by a detector that writes 100 frames a second, and each change an hour after the file's own time. So
# neither the speed of the machine nor the time of day decides whether a change is newer than what was recorded.
FIRST_NS = 1_577_836_800 * 10**9
FRAME_NS = 10**7
CHANGED_AFTER_NS = 3600 * 10**9


class NoRoom(Exception):
    """A tree would not fit on the disk."""


def folder_of(number: int) -> str:
    """The so-manyth folder that holds files."""
    return f"beam{number % BEAMS:02}/2026-{number // BEAMS % MONTHS + 1:02}/scan_{number:06}"


def file_name(folder: int, number: int) -> str:
    """A file's name, of 20 characters."""
    return f"frame_{folder:06}_{number:03}.tif"


def make(top: Path, files: int) -> None:
    """Make that many empty files, each with a modification time of its own, long ago.

    Raises:
        NoRoom: The disk has too few inodes.
    """
    top.mkdir(parents=True)
    status = os.statvfs(top)
    needed = files + files // FILES_A_FOLDER + BEAMS * (MONTHS + 1)
    if status.f_files and status.f_favail < needed:
        raise NoRoom(f"a tree of {files:,} files needs {needed:,} inodes, and {status.f_favail:,} are left")
    for folder in range((files + FILES_A_FOLDER - 1) // FILES_A_FOLDER):
        path = top / folder_of(folder)
        path.mkdir(parents=True)
        folder_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for number in range(min(FILES_A_FOLDER, files - folder * FILES_A_FOLDER)):
                mtime_ns = FIRST_NS + (folder * FILES_A_FOLDER + number) * FRAME_NS
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                file_fd = os.open(file_name(folder, number), flags, 0o644, dir_fd=folder_fd)
                os.utime(file_fd, ns=(mtime_ns, mtime_ns))
                os.close(file_fd)
        finally:
            os.close(folder_fd)


@contextmanager
def changed(top: Path, files: int, count: int) -> Iterator[Mapping[str, str]]:
    """`count` files, scattered over a tree of `files`, have another content and a later time in the block only."""
    numbers = [files * position // count for position in range(count)]
    paths = [
        top / folder_of(number // FILES_A_FOLDER) / file_name(number // FILES_A_FOLDER, number % FILES_A_FOLDER)
        for number in numbers
    ]
    times_ns = [path.stat().st_mtime_ns for path in paths]
    for path, mtime_ns in zip(paths, times_ns):
        path.write_bytes(CHANGE)
        os.utime(path, ns=(mtime_ns + CHANGED_AFTER_NS,) * 2)
    try:
        yield {}
    finally:
        for path, mtime_ns in zip(paths, times_ns):
            os.truncate(path, 0)
            os.utime(path, ns=(mtime_ns, mtime_ns))
