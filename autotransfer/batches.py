"""Changes to transfer documents within limits: whole folders as one item, the rest file by file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Union

from autotransfer.changes import CHECKSUM, FolderChange
from autotransfer.paths import FOLDER_ITSELF, join, on_collection
from autotransfer.settings import Settings
from autotransfer.times import HOUR, NS_PER_SECOND

SYNC_LEVELS = {"exists": 0, "size": 1, "mtime": 2, "checksum": 3}


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


class Planner:
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


class Batch(NamedTuple):
    """The items of one task to be."""

    number: int
    sync_level: str
    has_failed: bool
    items: list[Item]

    @property
    def files(self) -> int:
        return sum(item.files for item in self.items)

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)


class Batcher:
    """Deals items out to at most `max_tasks` tasks of at most `max_items` items, one sync level a task.

    What has failed before travels apart, in at most `max_failed_tasks` of them: it may fail again, and hold up neither
    the task nor the room of what is well.
    """

    def __init__(self, *, first_number: int, max_items: int, max_tasks: int, max_failed_tasks: int) -> None:
        self._next_number = first_number
        self._max_items = max_items
        self._room = max_tasks
        self._failed_room = max_failed_tasks
        self._filling: dict[tuple[str, bool], Batch] = {}

    def number_for(self, sync_level: str) -> int:
        """The number that an item of this kind, which has not failed before, would get now; 0 when there is no room."""
        batch = self._filling.get((sync_level, False))
        if batch is not None:
            return batch.number
        return self._next_number if self._room > 0 else 0

    def take(self, item: Item) -> tuple[int, Batch | None]:
        """The number of the task that carries the item, 0 when no task has room; and a batch that is now full."""
        kind = (item.sync_level, item.has_failed)
        batch = self._filling.get(kind)
        if batch is None:
            if self._room <= 0 or (item.has_failed and self._failed_room <= 0):
                return 0, None
            self._room -= 1
            self._failed_room -= item.has_failed
            batch = self._filling[kind] = Batch(self._next_number, *kind, [])
            self._next_number += 1
        batch.items.append(item)
        if len(batch.items) < self._max_items:
            return batch.number, None
        return batch.number, self._filling.pop(kind)

    def rest(self) -> list[Batch]:
        """The batches that did not become full, in the order of their numbers."""
        return sorted(self._filling.values())


def transfer_document(
    settings: Settings, *, sync_level: str, label: str, now_ns: int, has_folders: bool
) -> dict[str, Any]:
    """A task's document without its items and its submission_id; every option is sent explicitly.

    The service's own defaults are not relied on: it would not verify checksums and would mail on every task.
    Source: docs.globus.org/api/transfer/task_submit.
    """
    document: dict[str, Any] = {
        "DATA_TYPE": "transfer",
        "source_endpoint": settings.src_id,
        "destination_endpoint": settings.dst_id,
        "label": label,
        "sync_level": SYNC_LEVELS[sync_level],
        "verify_checksum": settings.verify_checksum,
        "preserve_timestamp": settings.preserve_timestamp,
        "encrypt_data": settings.encrypt_data,
        "skip_source_errors": settings.skip_source_errors,
        "fail_on_quota_errors": settings.fail_on_quota_errors,
        "delete_destination_extra": False,
        **{f"notify_on_{event}": event in settings.notify for event in ("succeeded", "failed", "inactive")},
    }
    if settings.deadline_hours:
        document["deadline"] = _deadline(now_ns + int(settings.deadline_hours * HOUR) * NS_PER_SECOND)
    if has_folders and settings.exclude:
        document["filter_rules"] = [
            {"DATA_TYPE": "filter_rule", "method": "exclude", "name": pattern} for pattern in settings.exclude
        ]
    return document


def item_documents(items: Iterable[tuple[str, bool]], *, src_path: str, dst_dir: str) -> list[dict[str, Any]]:
    """The items of a task, each (rel_path, is_folder), as Globus takes them."""
    return [
        {
            "DATA_TYPE": "transfer_item",
            "source_path": on_collection(src_path, rel_path, is_folder=is_folder),
            "destination_path": on_collection(dst_dir, rel_path, is_folder=is_folder),
            "recursive": is_folder,
        }
        for rel_path, is_folder in items
    ]


def _deadline(moment_ns: int) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(moment_ns // NS_PER_SECOND, timezone.utc).strftime("%Y-%m-%d %H:%M:%S+00:00")
