"""The trees that are measured: empty files as a beamline writes them, three levels deep, 50 in a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

FILES_A_FOLDER = 50
BEAMS, MONTHS = 10, 12
CHANGE = b"changed"


class NoRoom(Exception):
    """A tree would not fit on the disk."""


def folder_of(number: int) -> str:
    """The so-manyth folder that holds files."""
    return f"beam{number % BEAMS:02}/2026-{number // BEAMS % MONTHS + 1:02}/scan_{number:06}"


def file_name(folder: int, number: int) -> str:
    """A file's name, of 20 characters."""
    return f"frame_{folder:06}_{number:03}.tif"


def make(top: Path, files: int) -> None:
    """Make so many empty files; their modification times are those of their making.

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
                name = file_name(folder, number)
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder_fd))
        finally:
            os.close(folder_fd)


@contextmanager
def changed(top: Path, files: int, count: int) -> Iterator[Mapping[str, str]]:
    """So many files, scattered over a tree of `files`, have another content in the block, and not after it."""
    numbers = [files * position // count for position in range(count)]
    paths = [
        top / folder_of(number // FILES_A_FOLDER) / file_name(number // FILES_A_FOLDER, number % FILES_A_FOLDER)
        for number in numbers
    ]
    times_ns = [path.stat().st_mtime_ns for path in paths]
    moment_ns = time.time_ns() - 5 * 10**9
    for path in paths:
        path.write_bytes(CHANGE)
        os.utime(path, ns=(moment_ns, moment_ns))
    try:
        yield {}
    finally:
        for path, mtime_ns in zip(paths, times_ns):
            os.truncate(path, 0)
            os.utime(path, ns=(mtime_ns, mtime_ns))
