"""Finds the largest folders that are new as a whole. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Union

from autotransfer.common.paths import FOLDER_ITSELF, join
from autotransfer.plan.compare import CHECKSUM, FolderChange


class Item(NamedTuple):
    """One item of a task.

    Args:
        folder: rel_path of the folder the item is recorded in.
        name: The file's name there; FOLDER_ITSELF for an empty folder; "" for a folder with everything below it.
        mtime_ns, size_bytes: The fingerprint; for a whole folder 0 and the bytes of all its files.
        files: How many paths it carries.
        has_failed: Whether sending it has failed before.
    """

    folder: str
    name: str
    mtime_ns: int
    size_bytes: int
    files: int
    sync_level: str
    has_failed: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether Globus is asked to recurse."""
        return self.name in ("", FOLDER_ITSELF)

    @property
    def rel_path(self) -> str:
        return join(self.folder, self.name) if self.name else self.folder


class Note(NamedTuple):
    """A new folder whose fate is known: its record is to be kept now.

    Args:
        travels_whole: Whether a folder item will carry all it holds; the item comes when its top is known.
    """

    change: FolderChange
    travels_whole: bool


Step = Union[Item, Note]


class WholeFolders:
    """Finds the largest folders that are new as a whole.

    Fed with the folders of a scan, parents before children, it gives items; a folder's are adjacent. It holds the
    entries of the folders between SRC_DIR and the place of the scan, and of no others.
    """

    def __init__(self) -> None:
        self._open: list[_Frame] = []

    def add(self, rel_path: str, change: FolderChange | None) -> Iterator[Step]:
        """What has become certain with this folder; `change` is None when nothing in it is to be sent."""
        yield from self._close_down_to(rel_path)
        if change is not None and change.is_whole:
            self._open.append(_Frame(change))
            return
        for frame in self._open:
            frame.is_whole = False
        if change is not None:
            yield from _file_items(change)

    @property
    def is_certain(self) -> bool:
        """Whether everything that was fed in has been given out."""
        return not self._open

    def finish(self) -> Iterator[Step]:
        """What was still uncertain when the scan ended."""
        while self._open:
            yield from self._close_last()

    def _close_down_to(self, rel_path: str) -> Iterator[Step]:
        while self._open and not rel_path.startswith(self._open[-1].change.rel_path + "/"):
            yield from self._close_last()

    def _close_last(self) -> Iterator[Step]:
        frame = self._open.pop()
        yield Note(frame.change, frame.is_whole)
        if not frame.is_whole:
            yield from _file_items(frame.change)
            yield from frame.wholes
            return
        whole = frame.as_item()
        if self._open and self._open[-1].is_whole:
            self._open[-1].wholes.append(whole)
        else:
            yield whole


class _Frame:
    """A folder that may turn out to be new as a whole, and those below it that have."""

    def __init__(self, change: FolderChange) -> None:
        self.change = change
        self.is_whole = True
        self.wholes: list[Item] = []

    def as_item(self) -> Item:
        sent = self.change.outgoing
        if FOLDER_ITSELF in sent:
            return next(_file_items(self.change))
        levels = self.change.sync_levels | {whole.sync_level for whole in self.wholes}
        return Item(
            self.change.rel_path,
            "",
            0,
            self.change.size_bytes + sum(whole.size_bytes for whole in self.wholes),
            len(sent) + sum(whole.files for whole in self.wholes),
            CHECKSUM if CHECKSUM in levels else min(levels),
        )


def _file_items(change: FolderChange) -> Iterator[Item]:
    for name, sent in change.outgoing.items():
        yield Item(change.rel_path, name, sent.mtime_ns, sent.size_bytes, 1, sent.sync_level, sent.has_failed)
