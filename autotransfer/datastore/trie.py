"""PathTrie: the records of all folders, in whatever mapping it is handed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from autotransfer.datastore.record import Folder, Record


class Shelf(Protocol):
    """The mapping a trie lives in; beyond a mapping's methods it lists its keys below a prefix, in order."""

    def get(self, key: str, /) -> Any: ...
    def __contains__(self, key: str, /) -> bool: ...
    def __setitem__(self, key: str, value: Any) -> None: ...
    def pop(self, key: str, default: Any, /) -> Any: ...
    def keys_below(self, prefix: str) -> Iterator[str]: ...


class PathTrie:
    """The folders of a tree by rel_path, in a shelf shared with other keys: a folder's key is "/" and its rel_path.

    Args:
        on_put: Called with each rel_path whose record is written or removed.
        as_seen: (rel_path, record) -> the record as it is returned; for those who only read.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        on_put: Callable[[str], None] = lambda rel_path: None,
        as_seen: Callable[[str, Record], Record] = lambda rel_path, record: record,
    ) -> None:
        self._shelf = shelf
        self._on_put = on_put
        self._as_seen = as_seen

    def __contains__(self, rel_path: str) -> bool:
        """Whether the folder has a record."""
        return "/" + rel_path in self._shelf

    def record(self, rel_path: str) -> Record | None:
        """The folder's record, or None."""
        value = self._shelf.get("/" + rel_path)
        return None if value is None else self._as_seen(rel_path, Record.from_builtins(value))

    def folder(self, rel_path: str) -> Folder:
        """The folder; a blank one when there is no record."""
        record = self.record(rel_path)
        return Folder() if record is None else Folder.unpack(record)

    def put(self, rel_path: str, folder: Folder) -> None:
        """Keep the folder; a blank one leaves no record."""
        self.put_record(rel_path, folder.pack())

    def put_record(self, rel_path: str, record: Record) -> None:
        """Keep a folder that is packed already; a blank one leaves no record."""
        self._on_put(rel_path)
        if any(record):
            self._shelf["/" + rel_path] = tuple(record)
        else:
            self._shelf.pop("/" + rel_path, None)

    def below(self, rel_path: str) -> Iterator[str]:
        """The rel_path of the folder, if it has a record, and of each one below it; the trie may change meanwhile."""
        if rel_path in self:
            yield rel_path
        prefix = f"/{rel_path}/" if rel_path else "/"
        for key in self._shelf.keys_below(prefix):
            if key != "/":
                yield key[1:]

    def inherited(self, rel_path: str) -> tuple[int, int]:
        """The verify_until_ns and carried_by of the nearest folder above that has a record; for one without."""
        while rel_path:
            rel_path = rel_path.rpartition("/")[0]
            record = self.record(rel_path)
            if record is not None:
                return record.verify_until_ns, record.carried_by
        return 0, 0

    def folder_of(self, rel_path: str, record: Record | None) -> Folder:
        """The folder with this record; one without a record has only what it inherits."""
        if record is not None:
            return Folder.unpack(record)
        folder = Folder()
        folder.verify_until_ns, folder.carried_by = self.inherited(rel_path)
        return folder

    def link(self, rel_path: str, top: str = "") -> None:
        """Make each folder from `top` down to this one name the next, so that a scan notices when it is gone."""
        while rel_path != top:
            above, _, name = rel_path.rpartition("/")
            folder = self.folder_of(above, self.record(above))
            if name in folder.folders:
                return
            folder.folders.add(name)
            self.put(above, folder)
            rel_path = above

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever recorded, or everything was forgotten."""
        root = self.record("") or Record()
        return not (root.names or root.in_flight or root.retries or root.folders)
