"""What Linux offers and Python does not, through the C library: `statx` for many entries, and ending with a parent.

`os.DirEntry.stat` makes twenty Python objects per file, of which a scan reads two. Here the kernel fills one array for
all entries, and columns are taken out of it as bytes, to be compared with recorded ones as a whole.

The layout of `struct statx` is the same on every architecture: statx(2), include/uapi/linux/stat.h.
"""

from __future__ import annotations

import os
import sys
import threading
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from itertools import compress, repeat
from typing import NamedTuple, Optional

from autotransfer.common.times import NS_PER_SECOND

# AT_SYMLINK_NOFOLLOW, and AT_NO_AUTOMOUNT as stat has it
_FLAGS = 0x100 | 0x800
_HERE = -100  # AT_FDCWD

# STATX_BASIC_STATS: what stat returns, as fresh as there
_MASK = 0x7FF
_BYTES = 256
_MODE_AT, _SIZE_AT, _BIRTH_AT, _CTIME_AT, _MTIME_AT = 28, 40, 80, 96, 112
_EMPTY_PATH, _BIRTH = 0x1000, 0x800

# Entries read before their columns are taken: the array of a thread stays in the processor's cache.
_AT_A_TIME = 128
_PR_SET_PDEATHSIG = 1

# Of a 64-bit number, little-endian.
_HIGHEST_BIT = b"\0\0\0\0\0\0\0\x80"

# Fewer seconds than this (until 2242) make nanoseconds that fit into 63 bits.
_MAX_SECONDS = 1 << 33


class Statuses(NamedTuple):
    """What the entries are, in the order of the names.

    Args:
        modes: As `st_mode`.
        sizes_bytes, mtimes_ns: Columns of signed 64-bit numbers, little-endian.
        ctime_lags_ns: ctime - mtime, the same; empty where it was not asked for.
    """

    modes: list[int]
    sizes_bytes: bytes
    mtimes_ns: bytes
    ctime_lags_ns: bytes

    def only(self, chosen: Sequence[bool]) -> Statuses:
        """Those of the chosen entries."""
        columns = (array("q", column) for column in self[1:])
        return Statuses(
            list(compress(self.modes, chosen)), *(array("q", compress(column, chosen)).tobytes() for column in columns)
        )


def die_with_parent(signal_number: int) -> None:
    """Have the system send this process a signal when the thread that started it ends.

    No thread of this process could do that while a hanging call holds the interpreter's lock. Does nothing where the
    system cannot. Source: prctl(2).
    """
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number))


@cache
def entries(*, is_alone: bool = False) -> Entries:
    """The one of this process; see Entries. Cost of making it: as much as reading 20 files."""
    return Entries(is_alone=is_alone)


class Entries:
    """Reads what entries of folders are, for any number of threads.

    Args:
        is_alone: Whether no other thread of the process has work: then the interpreter's lock is not released and
            taken back for each entry, which saves a thirtieth of a full scan's time.

    Attributes:
        are_possible: Whether this system has a `statx` that works; otherwise use `os.stat`.
    """

    def __init__(self, *, is_alone: bool = False) -> None:
        self._statx = _statx(is_alone)
        self._of_thread = threading.local()
        self.are_possible = self._statx is not None and self._works()

    def read(self, folder_fd: int, names: Sequence[str], *, with_ctimes: bool = False) -> Statuses | None:
        """What the entries of an open folder are, links not followed.

        None when one of them cannot be read, or is of a time before 1970 or after 2241.

        Cost: one system call for each name.
        """
        assert self._statx is not None
        buffer = self._buffer()
        modes, sizes_bytes, mtimes_ns, ctime_lags_ns = [], [], [], []
        encoded = os.fsencode("/".join(names)).split(b"/")
        for at in range(0, len(names), _AT_A_TIME):
            some = encoded[at : at + _AT_A_TIME]
            if any(map(self._statx, repeat(folder_fd), some, repeat(_FLAGS), repeat(_MASK), buffer.pointers)):
                return None
            moments = buffer.mtimes_ns(len(some))
            if moments is None:
                return None
            modes += buffer.modes(len(some))
            sizes_bytes.append(buffer.sizes_bytes(len(some)))
            mtimes_ns.append(moments)
            if with_ctimes:
                lags_ns = buffer.ctime_lags_ns(len(some), moments)
                if lags_ns is None:
                    return None
                ctime_lags_ns.append(lags_ns)
        return Statuses(modes, b"".join(sizes_bytes), b"".join(mtimes_ns), b"".join(ctime_lags_ns))

    def born_ns(self, folder_fd: int) -> int:
        """The time at which an open folder was made; 0 where the system or its file system does not know."""
        if not self.are_possible:
            return int(getattr(os.fstat(folder_fd), "st_birthtime", 0) * NS_PER_SECOND)
        assert self._statx is not None
        buffer = self._buffer()
        is_read = not self._statx(folder_fd, b"", _FLAGS | _EMPTY_PATH, _MASK | _BIRTH, buffer.pointers[0])
        return buffer.born_ns() if is_read else 0

    def _works(self) -> bool:
        """Some sandboxes refuse `statx`, or take it for another call."""
        assert self._statx is not None
        buffer = self._buffer()
        is_done = not self._statx(_HERE, b"/", _FLAGS, _MASK, buffer.pointers[0])
        return is_done and buffer.modes(1) == [os.lstat("/").st_mode]

    def _buffer(self) -> _Buffer:
        own = self._of_thread
        if not hasattr(own, "buffer"):
            own.buffer = _Buffer()
        buffer: _Buffer = own.buffer
        return buffer


class _Buffer:
    """Memory for what the kernel returns about some entries.

    Attributes:
        pointers: One to the place of each entry.
    """

    def __init__(self) -> None:
        import ctypes

        memory = (ctypes.c_char * (_BYTES * _AT_A_TIME))()
        self.pointers = [ctypes.byref(memory, _BYTES * number) for number in range(_AT_A_TIME)]
        self._halves = memoryview(memory).cast("B").cast("H")
        self._longs = memoryview(memory).cast("B").cast("q")
        too_many_seconds = (1 << 64) - _MAX_SECONDS
        self._too_many_seconds = int.from_bytes(too_many_seconds.to_bytes(8, "little") * _AT_A_TIME, "little")

    def modes(self, count: int) -> list[int]:
        """Of the first entries."""
        return self._halves[_MODE_AT // 2 : _BYTES // 2 * count : _BYTES // 2].tolist()

    def sizes_bytes(self, count: int) -> bytes:
        """Of the first entries, as 64-bit numbers."""
        return self._column(_SIZE_AT, count)

    def mtimes_ns(self, count: int) -> bytes | None:
        """Of the first entries, as 64-bit numbers; None when one of them does not fit."""
        return self._moments_ns(_MTIME_AT, count)

    def ctime_lags_ns(self, count: int, mtimes_ns: bytes) -> bytes | None:
        """ctime - mtime of the first entries, whose mtimes these are; None when a ctime does not fit.

        Subtracts all of them at once. The highest bit of each number is set meanwhile, so that none borrows from the
        next one; all times are positive, so turning that bit round yields the two's complement.
        """
        ctimes_ns = self._moments_ns(_CTIME_AT, count)
        if ctimes_ns is None:
            return None
        highest = int.from_bytes(_HIGHEST_BIT * count, "little")
        ctimes, mtimes = int.from_bytes(ctimes_ns, "little"), int.from_bytes(mtimes_ns, "little")
        return (((ctimes | highest) - mtimes) ^ highest).to_bytes(8 * count, "little")

    def born_ns(self) -> int:
        """The birth time of the first entry; 0 when it is not known."""
        # The mask of what the kernel has filled in is at the beginning.
        moment_ns = self._moments_ns(_BIRTH_AT, 1) if self._longs[0] & _BIRTH else None
        return int.from_bytes(moment_ns or b"", "little")

    def _moments_ns(self, at: int, count: int) -> bytes | None:
        """The times at this place of each entry.

        All seconds together are one long number, and so are all nanoseconds, each with 64 bits to itself; so one
        multiplication makes the times of all files, and none of them becomes a number of its own.
        """
        seconds = int.from_bytes(self._column(at, count), "little")
        if seconds & self._too_many_seconds:
            return None
        # The 32 bits after the nanoseconds are reserved, and zero.
        nanoseconds = int.from_bytes(self._column(at + 8, count), "little")
        return (seconds * NS_PER_SECOND + nanoseconds).to_bytes(8 * count, "little")

    def _column(self, at: int, count: int) -> bytes:
        return self._longs[at // 8 : _BYTES // 8 * count : _BYTES // 8].tobytes()


def _statx(is_alone: bool) -> Optional[Callable[..., int]]:
    if sys.platform != "linux" or sys.byteorder != "little":
        return None
    try:
        import ctypes

        library = ctypes.PyDLL(None) if is_alone else ctypes.CDLL(None)
        function: Callable[..., int] = library.statx
    except (ImportError, OSError, AttributeError):  # a Python without ctypes, a C library without it
        return None
    return function
