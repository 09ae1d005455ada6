"""Finds the largest folders that are new as a whole, so that one item can carry each. Pure."""

from __future__ import annotations

from collections.abc import Callable

from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.datastore.tasks import Item
from autotransfer.plan.compare import CHECKSUM, FolderChange


class WholeFolders:
    """Turns the changes of folders into items, as few as possible.

    It is given the folders of a scan, parents before children, and holds the changes only of those between SRC_DIR and
    the place of the scan.

    Args:
        record_new: Called with each new folder when it is certain whether a folder item carries it, and whether one
            does; that item comes later.
        assign: Called with each item; those of one folder come one after another.
    """

    def __init__(self, record_new: Callable[[FolderChange, bool], None], assign: Callable[[Item], None]) -> None:
        self._record_new = record_new
        self._assign = assign
        self._open: list[_Frame] = []

    def add(self, rel_path: str, change: FolderChange | None) -> None:
        """The scan has come to this folder; `change` is None when nothing in it is sent."""
        while self._open and not rel_path.startswith(self._open[-1].change.rel_path + "/"):
            self._close_last()
        if change is not None and change.is_whole:
            self._open.append(_Frame(change))
            return
        for frame in self._open:
            frame.is_whole = False
        if change is not None:
            self._assign_all(change)

    def finish(self) -> None:
        """The scan has ended."""
        while self._open:
            self._close_last()

    def _close_last(self) -> None:
        frame = self._open.pop()
        self._record_new(frame.change, frame.is_whole)
        if not frame.is_whole:
            self._assign_all(frame.change)
            for whole in frame.wholes:
                self._assign(whole)
        elif self._open and self._open[-1].is_whole:
            self._open[-1].wholes.append(frame.as_item())
        else:
            self._assign(frame.as_item())

    def _assign_all(self, change: FolderChange) -> None:
        for item in change.outgoing.values():
            self._assign(item)


class _Frame:
    """A folder that may turn out to be new as a whole, and the folders directly below it that have."""

    def __init__(self, change: FolderChange) -> None:
        self.change = change
        self.is_whole = True
        self.wholes: list[Item] = []

    def as_item(self) -> Item:
        if FOLDER_ITSELF in self.change.outgoing:
            return self.change.outgoing[FOLDER_ITSELF]
        carried = [*self.change.outgoing.values(), *self.wholes]
        levels = {item.sync_level for item in carried}
        return Item(
            self.change.rel_path,
            "",
            sum(item.files for item in carried),
            sum(item.size_bytes for item in carried),
            sync_level=CHECKSUM if CHECKSUM in levels else min(levels),
        )
