"""Which task carries which path: notes it in the trie, takes it back, hands it over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from autotransfer.common.paths import FOLDER_ITSELF, join, split
from autotransfer.datastore.record import Folder, InFlight
from autotransfer.datastore.trie import PathTrie
from autotransfer.plan.whole_folders import Item, Note

ItemKey = tuple[str, bool]  # (rel_path, is_folder), as the items of a task are stored


def record_in_flight(trie: PathTrie, top: str, number: int) -> None:
    """Give everything that was noted below a folder item to its task, and cover it. `number` 0 takes it out again."""
    for folder_path in trie.below(top):
        record = trie.record(folder_path)
        assert record is not None
        trie.put_record(folder_path, record.given_to(number))


def forget_gone(trie: PathTrie, rel_path: str, folder: Folder, names: Iterable[str]) -> tuple[int, set[str]]:
    """Forget folders that are gone from a folder, which takes over their doubt; the caller keeps it.

    Returns:
        How many records were dropped, and the names below which tasks under way still carry something.
    """
    dropped, carried = 0, set()
    for name in names:
        gone_path = join(rel_path, name)
        count, verify_until_ns = _forget_below(trie, gone_path)
        dropped += count
        folder.verify_until_ns = max(folder.verify_until_ns, verify_until_ns)
        if gone_path in trie:
            carried.add(name)
    return dropped, carried


def _forget_below(trie: PathTrie, top: str) -> tuple[int, int]:
    dropped, verify_until_ns = 0, 0
    carried = []
    for folder_path in trie.below(top):
        folder = trie.folder(folder_path)
        names = [name for name in {**folder.delivered, **folder.retries} if name != FOLDER_ITSELF]
        dropped += len(names)
        for name in names:
            folder.forget(name)
        folder.delivered.clear()
        folder.retries.clear()
        verify_until_ns = max(verify_until_ns, folder.verify_until_ns)
        folder.folders.clear()
        if folder.in_flight or folder.carried_by:
            carried.append(folder_path)
        else:
            folder.verify_until_ns = 0
        trie.put(folder_path, folder)
    for folder_path in carried:
        trie.link(folder_path, top)
    return dropped, verify_until_ns


def renumber(trie: PathTrie, items: Iterable[ItemKey], number: int, new_number: int) -> None:
    """Hand what one task carries for these items over to another."""
    for folder_path, names in touched_folders(trie, items):
        folder = trie.folder(folder_path)
        for name in _carried(folder, names, number):
            folder.in_flight[name] = folder.in_flight[name]._replace(task=new_number)
        if folder.carried_by == number:
            folder.carried_by = new_number
        trie.put(folder_path, folder)


def touched_folders(trie: PathTrie, items: Iterable[ItemKey]) -> Iterator[tuple[str, set[str] | None]]:
    """The folders that items touch, each with the names in it that are meant (None: all)."""
    files = []
    for rel_path, is_folder in items:
        if not is_folder:
            files.append(split(rel_path))
            continue
        for folder_path in trie.below(rel_path):
            yield folder_path, None
    for folder_path, group in groupby(files, key=lambda pair: pair[0]):
        yield folder_path, {name for _, name in group}


def _carried(folder: Folder, names: set[str] | None, number: int) -> list[str]:
    return [
        name for name, record in folder.in_flight.items() if record.task == number and (names is None or name in names)
    ]


class _Marker:
    """Writes into the trie which task carries what, one write a folder: its items come one after another."""

    def __init__(self, trie: PathTrie) -> None:
        self._trie = trie
        self._rel_path: str | None = None
        self._folder = Folder()
        # The numbers under which folders were noted whose items have not come yet.
        self._noted: set[int] = set()

    def note(self, note: Note, number: int) -> None:
        """Keep a new folder's record; what travels whole is in flight.

        Args:
            number: The task that will probably carry it. Its item comes later, and may have to go into another.
        """
        self.flush()
        change = note.change
        if not note.travels_whole:
            self._trie.put(change.rel_path, change.folder)
            return
        self._noted.add(number)
        change.folder.in_flight = {
            name: InFlight(sent.mtime_ns, sent.size_bytes, 0) for name, sent in change.outgoing.items()
        }
        record = change.folder.pack().given_to(number) if number else change.folder.pack()
        self._trie.put_record(change.rel_path, record)

    def mark(self, item: Item, number: int) -> None:
        """Put the item's paths in flight with the task, or take them out again when no task has room (0)."""
        if not item.name:
            self.flush()
            if not number or self._noted != {number}:
                record_in_flight(self._trie, item.folder, number)
            return
        if item.folder != self._rel_path:
            self.flush()
            self._rel_path, self._folder = item.folder, self._trie.folder(item.folder)
        if number:
            self._folder.in_flight[item.name] = InFlight(item.mtime_ns, item.size_bytes, number)
        else:
            self._folder.in_flight.pop(item.name, None)
        if item.name == FOLDER_ITSELF:
            self._folder.carried_by = number

    def forget_notes(self) -> None:
        """Every noted folder's item has come."""
        self._noted.clear()

    def flush(self) -> None:
        """Write the folder that is being marked."""
        if self._rel_path is not None:
            self._trie.put(self._rel_path, self._folder)
            self._rel_path = None
