"""Mode bits that bind this thread also where the tests run as root, so that a scan meets what it may not read."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

VERSION_3 = 0x20080522
# What lets root read, write and search everything: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (linux/capability.h).
OVERRIDES = 1 << 1 | 1 << 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Words(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def modes_that_bind() -> AbstractContextManager[None]:
    """Root's privilege over modes laid down, by this thread and those it starts; others keep it. Linux only."""
    return _changed(lambda effective, permitted: effective & ~OVERRIDES)


def modes_that_do_not() -> AbstractContextManager[None]:
    """The privilege taken up again."""
    return _changed(lambda effective, permitted: effective | (permitted & OVERRIDES))


@contextmanager
def _changed(change: Callable[[int, int], int]) -> Iterator[None]:
    if os.geteuid() != 0 or sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, words = _Header(VERSION_3, 0), (_Words * 2)()
    _call(libc.capget, header, words)
    before = words[0].effective
    words[0].effective = change(before, words[0].permitted)
    _call(libc.capset, header, words)
    try:
        yield
    finally:
        words[0].effective = before
        _call(libc.capset, header, words)


def _call(function: Callable[..., int], header: _Header, words: ctypes.Array[_Words]) -> None:
    if function(ctypes.byref(header), words):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
