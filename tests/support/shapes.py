"""Trees of odd shapes, and judges of what became of them that share no code with the product or the emulator."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite import LONG_AGO, Route

TERABYTE = 1 << 40
FOLDER = os.O_RDONLY | os.O_DIRECTORY
# Names that mean something to a shell, a URL, an option parser, a terminal, a log or a file system elsewhere.
NAMES = (
    *("-n", "--json", "-", "--", "--path=x", "~", "~root", "%2e"),
    *("%2E%2e", "%00", "...", "..x", ". ", " .", " ", "  x "),
    *("a b", "\t", "x\t", "\n", "a\nb"),
    *("\n2026-01-01T00:00:00Z 1 INFO run status=0", "a\rb", "\x1b[2J", "\x1b]0;x\x07", "\x7f"),
    *("'", '"', "'; rm -rf ~; '", "$(id)", "`id`", "\\", "\\n", "a\\"),
    *("*", "?", "[a]", "{a,b}", "#", "a:b", "a;b", "a|b", "&&"),
    *("\u202egpj.exe", "\u2066x\u2069", "\u2028", "a\u2029b", "\u0085"),
    *("\u200b", "\ufeffx", "x\ufffd", "\U000e0001", "\x01\x02\x1f"),
    *("\U0001f52c", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "r\u00e9sum\u00e9"),
    *("re\u0301sume\u0301", "\u00c5", "A\u030a", "\u212b"),
    *("case", "CASE", "Case", "con", "NUL"),
    *("aux.txt", "trailing.", "x" * 255, "\u00e9" * 127, "\U0001f52c" * 63, "FORMAT_VERSION"),
)  # fmt: skip


def dig(top: Path, name: str, levels: int) -> None:
    """Make folders in each other, each with a file `f` that holds its number."""
    folder = os.open(top, FOLDER)
    for level in range(levels):
        os.mkdir(name, dir_fd=folder)
        deeper = os.open(name, FOLDER, dir_fd=folder)
        os.close(folder)
        folder = deeper
        _write(folder, "f", str(level).encode())
    os.close(folder)


def rewrite_deepest(top: Path, name: str, content: bytes) -> None:
    """Change the file `f` of the deepest folder."""
    folder = os.open(top, FOLDER)
    while True:
        try:
            deeper = os.open(name, FOLDER, dir_fd=folder)
        except FileNotFoundError:
            break
        os.close(folder)
        folder = deeper
    _write(folder, "f", content)
    os.close(folder)


def _write(folder: int, name: str, content: bytes) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=folder)
    os.write(file, content)
    os.utime(file, (LONG_AGO, LONG_AGO))
    os.close(file)


def remove(top: Path) -> None:
    """Remove a tree that is too deep for what pytest removes its folders with."""
    subprocess.run(["rm", "-rf", "--", str(top)], check=True)


class Compared:
    """A tree and its copy, byte for byte, at any depth.

    Attributes:
        files, folders: How many were compared.
        differing: The paths that are missing, too many, of another kind or of another content.
    """

    def __init__(self, left: Path, right: Path) -> None:
        self.files = self.folders = 0
        self.differing: list[str] = []
        ours, theirs = os.open(left, FOLDER), os.open(right, FOLDER)
        trail: list[tuple[str, list[str]]] = [("", self._folder(ours, theirs, ""))]
        while trail:
            path, folders = trail[-1]
            way = folders.pop() if folders else ".."
            if way == "..":
                trail.pop()
            deeper = [os.open(way, FOLDER | os.O_NOFOLLOW, dir_fd=side) for side in (ours, theirs)]
            os.close(ours)
            os.close(theirs)
            ours, theirs = deeper
            if way != "..":
                trail.append((f"{path}/{way}", self._folder(ours, theirs, f"{path}/{way}")))
        os.close(ours)
        os.close(theirs)

    def _folder(self, ours: int, theirs: int, path: str) -> list[str]:
        """Compare what two folders hold; gives the folders that both have."""
        self.folders += 1
        names = [set(os.listdir(side)) for side in (ours, theirs)]
        self.differing += [f"{path}/{name}" for name in names[0] ^ names[1]]
        folders = []
        for name in names[0] & names[1]:
            modes = [stat.S_IFMT(os.lstat(name, dir_fd=side).st_mode) for side in (ours, theirs)]
            if modes == [stat.S_IFDIR, stat.S_IFDIR]:
                folders.append(name)
            else:
                self.files += 1
                is_file = modes == [stat.S_IFREG, stat.S_IFREG]
                if not is_file or _content(ours, name) != _content(theirs, name):
                    self.differing.append(f"{path}/{name}")
        return folders


def _content(folder: int, name: str) -> bytes:
    with open(os.open(name, os.O_RDONLY, dir_fd=folder), "rb") as file:
        return file.read()


def make_sparse(path: Path, size_bytes: int) -> None:
    """A file of holes with a few bytes at its start, in its middle and at its end."""
    with path.open("wb") as file:
        for at in (0, size_bytes // 2, size_bytes - 4):
            file.seek(at)
            file.write(b"data")
    os.utime(path, (LONG_AGO, LONG_AGO))


def pieces(path: Path) -> list[tuple[int, bytes]]:
    """Where a sparse file holds anything but zeros, and what."""
    found = []
    with path.open("rb") as file:
        at, size_bytes = 0, path.stat().st_size
        while at < size_bytes:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            block = os.pread(file.fileno(), end - at, at)
            start = len(block) - len(block.lstrip(b"\0"))
            if block.strip(b"\0"):
                found.append((at + start, block.strip(b"\0")))
            at = end
    return found


def make_special(folder: Path) -> list[str]:
    """A pipe, a socket and (as root) devices; gives their names."""
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(folder)  # the address of a socket may have 108 bytes
        try:
            listener.bind("socket")
        finally:
            os.chdir(before)
    names = ["pipe", "socket"]
    try:
        os.mknod(folder / "character device", 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # an endless one: /dev/zero
        os.mknod(folder / "block device", 0o600 | stat.S_IFBLK, os.makedev(7, 0))
    except PermissionError:
        return names
    return [*names, "character device", "block device"]


class Opens:
    """Tells which files of a folder anybody opened, as the kernel saw it (inotify)."""

    OPEN, ACCESS, IS_FOLDER = 0x20, 0x1, 0x40000000

    def __init__(self, folder: Path) -> None:
        library: Any = ctypes.CDLL(None, use_errno=True)
        self._descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if library.inotify_add_watch(self._descriptor, os.fsencode(folder), self.OPEN | self.ACCESS) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")

    def names(self) -> set[str]:
        """The names since the last time."""
        found: set[str] = set()
        while True:
            try:
                events = os.read(self._descriptor, 65536)
            except BlockingIOError:
                return found
            at = 0
            while at < len(events):
                _, mask, _, length = struct.unpack_from("iIII", events, at)
                name = events[at + 16 : at + 16 + length].rstrip(b"\0")
                at += 16 + length
                if name and not mask & self.IS_FOLDER:
                    found.add(os.fsdecode(name))

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def opens_in(folder: Path) -> Iterator[Opens]:
    """Watch a folder; it is shown first that an opened file is seen."""
    opens = Opens(folder)
    try:
        canary = folder / "canary"
        canary.write_bytes(b"x")
        assert opens.names() == {"canary"}
        canary.unlink()
        yield opens
    finally:
        opens.close()


def deliver(route: Route, **expected: int) -> None:
    """Send the whole tree; a second run sends nothing, and neither does one after set_time.py has assumed for all.

    Args:
        expected: Fields of the first run's summary.
    """
    summary = route.summary("--wait", "3000", status=None)
    assert summary["problem"] is None, summary
    assert {name: summary[name] for name in expected} == expected, summary
    assert summary["in_flight_tasks"] == summary["retrying"] == 0, summary
    quiet(route)
    route.run("set_time.py", "now", status=None)
    quiet(route)


def quiet(route: Route) -> None:
    """Run once more: nothing is sent."""
    again = route.summary(status=None)
    assert (again["submitted"], again["new"], again["modified"]) == (0, 0, 0), again
