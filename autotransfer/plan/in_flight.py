"""Which task carries which path: records it in the trie, takes it back, hands it over. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from autotransfer.common.paths import FOLDER_ITSELF, join
from autotransfer.datastore.record import Folder, InFlight
from autotransfer.datastore.tasks import Item
from autotransfer.datastore.trie import PathTrie
from autotransfer.plan.compare import FolderChange


def assign_whole(trie: PathTrie, top: str, number: int) -> None:
    """Have one task carry a folder and everything below it; 0 takes it all out of flight."""
    for folder_path in trie.below(top):
        record = trie.record(folder_path)
        assert record is not None
        trie.put_record(folder_path, record.given_to(number))


def forget_gone(trie: PathTrie, rel_path: str, folder: Folder, names: Iterable[str]) -> tuple[int, set[str]]:
    """Forget folders that are gone from a folder, which takes over their `verify_until_ns`; the caller stores it.

    Returns:
        The number of records that were dropped, and the names below which tasks under way still carry something.
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


def renumber(trie: PathTrie, items: Iterable[Item], number: int, new_number: int) -> None:
    """Hand these items over from one task to another."""
    for folder_path, names in touched_folders(trie, items):
        folder = trie.folder(folder_path)
        for name in carried_names(folder, names, number):
            folder.in_flight[name] = folder.in_flight[name]._replace(task=new_number)
        if folder.carried_by == number:
            folder.carried_by = new_number
        trie.put(folder_path, folder)


def touched_folders(trie: PathTrie, items: Iterable[Item]) -> Iterator[tuple[str, set[str] | None]]:
    """The folders that hold the items' paths, each with the names of these paths (None: all)."""
    files = []
    for item in items:
        if not item.is_folder:
            files.append(item)
            continue
        for folder_path in trie.below(item.rel_path):
            yield folder_path, None
    for folder_path, group in groupby(files, key=lambda item: item.folder):
        yield folder_path, {item.name for item in group}


def carried_names(folder: Folder, names: set[str] | None, number: int) -> list[str]:
    """The names in a folder that the task carries, out of these (None: of all)."""
    return [
        name for name, record in folder.in_flight.items() if record.task == number and (names is None or name in names)
    ]


class InFlightWriter:
    """Records in the trie which task carries what. The items of a folder come one after another, and are one write."""

    def __init__(self, trie: PathTrie) -> None:
        self._trie = trie
        self._rel_path: str | None = None
        self._folder = Folder()
        self._is_changed = False

    def record_new(self, change: FolderChange, is_carried_whole: bool) -> None:
        """Keep the record of a new folder; if a folder item carries it, its paths are in flight.

        Their task is not known before that item is assigned, which then rewrites each of these records (25 us a
        folder). To hold them back until then would take memory that grows with the tree.
        """
        if is_carried_whole:
            change.folder.in_flight = {
                name: InFlight(item.mtime_ns, item.size_bytes, 0, item.ctime_lag_ns)
                for name, item in change.outgoing.items()
            }
        self.open(change.rel_path, change.folder, is_dirty=True)

    def open(self, rel_path: str, folder: Folder, *, is_dirty: bool) -> None:
        """Items of this folder may come next: it is at hand, and need not be read. It is written now if it is dirty."""
        self.flush()
        if is_dirty:
            self._trie.put(rel_path, folder)
        self._rel_path, self._folder = rel_path, folder

    def assign(self, item: Item, number: int) -> None:
        """Put the item's paths in flight with a task; 0: no task carries them."""
        if not item.name:
            self.flush()
            assign_whole(self._trie, item.folder, number)
            return
        if item.folder != self._rel_path:
            self.open(item.folder, self._trie.folder(item.folder), is_dirty=False)
        self._is_changed = True
        if number:
            self._folder.in_flight[item.name] = InFlight(item.mtime_ns, item.size_bytes, number, item.ctime_lag_ns)
        else:
            self._folder.in_flight.pop(item.name, None)
        if item.name == FOLDER_ITSELF:
            self._folder.carried_by = number

    def flush(self) -> None:
        """Write the folder whose items are being assigned."""
        if self._rel_path is not None and self._is_changed:
            self._trie.put(self._rel_path, self._folder)
        self._rel_path, self._is_changed = None, False
