"""What a transfer node sees of its files: as they are, or as they were when its cache last asked.

A node that mounts the files over a network keeps their sizes and times, and perhaps their pages, for a while (nfs(5):
up to a minute by default, documented), and goes on showing an older version (observed: s3fs-fuse issue 1961, owncloud
client issue 2210). Here it does so until a test ends it.
"""

from __future__ import annotations

import os
import shutil
import tempfile


class NodeView:
    """The older versions that a node still sees; every other file it sees as it is."""

    def __init__(self) -> None:
        self._older: dict[bytes, bytes] = {}
        self._copies: tempfile.TemporaryDirectory[str] | None = None

    def keep(self, local: bytes) -> None:
        """Go on seeing a file as it is now, or seeing none; what is kept stays as it is. A folder is always seen."""
        if local in self._older or os.path.isdir(local):
            return
        if self._copies is None:
            self._copies = tempfile.TemporaryDirectory(prefix="globus-node-")
        copy = os.path.join(os.fsencode(self._copies.name), str(len(self._older)).encode())
        if os.path.isfile(local):
            shutil.copy2(local, copy)
        self._older[local] = copy

    def clear(self) -> None:
        """See every file as it is."""
        self._older.clear()
        if self._copies is not None:
            self._copies.cleanup()
            self._copies = None

    def seen(self, local: bytes) -> bytes:
        """Where to read what the node sees of a file; nothing is there if it sees none."""
        return self._older.get(local, local)

    def is_older(self, local: bytes) -> bool:
        """Whether the node sees this file as it was."""
        return local in self._older

    def is_hidden(self, local: bytes) -> bool:
        """Whether the node does not see a file that may be there."""
        return local in self._older and not os.path.lexists(self._older[local])
