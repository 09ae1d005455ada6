"""Paths longer than the system takes in one call, made short: by way of an open folder on them."""

from __future__ import annotations

import os

# Linux takes 4,096 bytes with the NUL at the end; what comes behind a folder here is one name of at most 255.
LONGEST_BYTES = 3500
_OPEN_FOLDERS = b"/proc/self/fd/"  # where there is none, as on macOS, long paths stay as they are
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class LongPaths:
    """Makes long paths short. The folders it has opened for that stay open until it is closed."""

    def __init__(self) -> None:
        self._open: dict[bytes, int] = {}

    def __call__(self, path: bytes) -> bytes:
        """A path to the same file that a system call takes; the path itself when it is short, or leads nowhere."""
        folder, name = os.path.split(path)
        if len(path) <= LONGEST_BYTES or not os.path.isdir(_OPEN_FOLDERS):
            return path
        known = self._open.get(folder)
        if known is None:
            try:
                known = self._open[folder] = _opened(folder)
            except OSError:
                return path
        return os.path.join(_OPEN_FOLDERS, str(known).encode("ascii"), name)

    def close(self) -> None:
        """Close the folders; the short paths are void."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


def _opened(folder: bytes) -> int:
    descriptor = os.open(b"/", _FLAGS)
    for name in folder.split(b"/"):
        if not name:
            continue
        try:
            deeper = os.open(name, _FLAGS, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = deeper
    return descriptor
