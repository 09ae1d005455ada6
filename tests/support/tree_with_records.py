"""A tree on disk and its records in memory, for tests of what is decided by both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autotransfer.common.times import NS_PER_SECOND
from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.scan.folders import open_root

MTIME_NS = 1_700_000_000 * NS_PER_SECOND


class TreeWithRecords:
    """Use `close` at the end.

    Attributes:
        src, root_fd: The tree, and its folder open.
        store: Its records.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.src = folder / "src"
        self.src.mkdir()
        self.root_fd = open_root(str(self.src))
        self.store = Store(IN_MEMORY)

    def close(self) -> None:
        self.store.close()
        os.close(self.root_fd)

    def write(self, rel_path: str, content: str = "12345", *, mtime_ns: int = MTIME_NS) -> int:
        """Write a file; returns its ctime - mtime."""
        path = self.src / rel_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, ns=(mtime_ns, mtime_ns))
        return path.stat().st_ctime_ns - mtime_ns

    def record(self, rel_path: str, **fields: Any) -> None:
        """Record these fields of a folder."""
        folder = self.store.trie.folder(rel_path)
        for name, value in fields.items():
            setattr(folder, name, value)
        self.store.trie.put(rel_path, folder)
        self.store.trie.link(rel_path)
