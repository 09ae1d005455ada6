"""PathTrie: what was last transferred, per path. Pure: it lives in whatever mapping it is given.

One entry per folder, so that memory does not grow with the tree. A folder's value is a tuple of builtins with its
columns packed, about 30 bytes a path with its name, so that a plain shelf can read it:

    (names, mtimes_ns, sizes_bytes, transferred_at_ns, tasks, folders, in_flight, retries, verify_until_ns, carried_by)

`in_flight` is (names, mtimes_ns, sizes_bytes, tasks), or () when nothing is; `retries` is a dict: few paths fail.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, NamedTuple, Protocol, Union

# (mtime in nanoseconds, size in bytes): what must stay the same for a file to count as unchanged.
Fingerprint = tuple[int, int]


Column = Union[int, "tuple[str, bytes]", "list[int]"]


SEPARATOR = "/"  # no name can hold it


FOLDER_FIELDS = 10


class Delivered(NamedTuple):
    """A path that arrived: its fingerprint before the transfer, when that was recorded, and the number of its task.

    `task` is 0 where a person said so with set_time.py; then `transferred_at_ns` is the time they gave.
    """

    mtime_ns: int
    size_bytes: int
    transferred_at_ns: int
    task: int

    @property
    def fingerprint(self) -> Fingerprint:
        return (self.mtime_ns, self.size_bytes)


class InFlight(NamedTuple):
    """A path that a task carries, with the fingerprint observed before that task was submitted."""

    mtime_ns: int
    size_bytes: int
    task: int

    @property
    def fingerprint(self) -> Fingerprint:
        return (self.mtime_ns, self.size_bytes)


class Retry(NamedTuple):
    """A path to be sent again, compared by checksum: what its last task left at the destination is not known."""

    mtime_ns: int
    size_bytes: int
    attempts: int
    not_before_ns: int
    code: str
    task: int

    @property
    def fingerprint(self) -> Fingerprint:
        return (self.mtime_ns, self.size_bytes)


class Folder:
    """What is known of one folder's entries.

    Attributes:
        delivered, in_flight, retries: Name to record. A name may be in flight and in one of the others.
        folders: Names of the folders below it that have, or may have, entries of their own.
        verify_until_ns: A path that is new here with an mtime up to this one may already lie at the destination with
            another content (its record was dropped, or a folder item swept it up), so it is compared by checksum.
        carried_by: The number of the task whose folder item carries everything here, or 0. What appears in the
            meantime waits.
    """

    __slots__ = ("carried_by", "delivered", "folders", "in_flight", "retries", "verify_until_ns")

    def __init__(self) -> None:
        self.delivered: dict[str, Delivered] = {}
        self.in_flight: dict[str, InFlight] = {}
        self.retries: dict[str, Retry] = {}
        self.folders: set[str] = set()
        self.verify_until_ns = 0
        self.carried_by = 0

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing worth keeping."""
        return not (
            self.delivered or self.in_flight or self.retries or self.folders or self.verify_until_ns or self.carried_by
        )

    def forget(self, name: str) -> None:
        """Drop what is recorded of a name; should it appear again, it is compared by checksum."""
        for records in (self.delivered, self.retries):
            record = records.pop(name, None)
            if record is not None:
                self.verify_until_ns = max(
                    self.verify_until_ns, record.mtime_ns, getattr(record, "transferred_at_ns", 0)
                )

    def pack(self) -> tuple[Any, ...]:
        """The folder as builtins, for the shelf."""
        records = self.delivered.values()
        return (
            SEPARATOR.join(self.delivered),
            packed_column([record.mtime_ns for record in records]),
            packed_column([record.size_bytes for record in records]),
            packed_column([record.transferred_at_ns for record in records]),
            packed_column([record.task for record in records]),
            SEPARATOR.join(sorted(self.folders)),
            self._pack_in_flight(),
            {name: tuple(record) for name, record in self.retries.items()},
            self.verify_until_ns,
            self.carried_by,
        )

    def _pack_in_flight(self) -> tuple[Any, ...]:
        records = self.in_flight.values()
        if not records:
            return ()
        return (
            SEPARATOR.join(self.in_flight),
            packed_column([record.mtime_ns for record in records]),
            packed_column([record.size_bytes for record in records]),
            packed_column([record.task for record in records]),
        )

    @classmethod
    def unpack(cls, value: tuple[Any, ...]) -> Folder:
        """The folder that `pack` gave."""
        names, mtimes, sizes, moments, tasks, folders, in_flight, retries, folder_verify_until_ns, carried_by = value
        folder = cls()
        if names:
            parts = names.split(SEPARATOR)
            columns = (unpacked_column(column, len(parts)) for column in (mtimes, sizes, moments, tasks))
            folder.delivered = dict(zip(parts, map(Delivered._make, zip(*columns))))
        folder.folders = set(folders.split(SEPARATOR)) if folders else set()
        if isinstance(in_flight, dict):  # as format 1 of the datastore has it
            folder.in_flight = {name: InFlight(*record) for name, record in in_flight.items()}
        elif in_flight:
            parts = in_flight[0].split(SEPARATOR)
            columns = (unpacked_column(column, len(parts)) for column in in_flight[1:])
            folder.in_flight = dict(zip(parts, map(InFlight._make, zip(*columns))))
        folder.retries = {name: Retry(*record) for name, record in retries.items()}
        folder.verify_until_ns = folder_verify_until_ns
        folder.carried_by = carried_by
        return folder


def fingerprints(value: tuple[Any, ...]) -> dict[str, Fingerprint]:
    """The fingerprints of what was delivered, and of what is in flight, which is newer: the scan's fast path."""
    found = _fingerprints(*value[:3])
    if value[6]:
        found.update(_fingerprints(*value[6][:3]))
    return found


def _fingerprints(names: str, mtimes_ns: Column, sizes_bytes: Column) -> dict[str, Fingerprint]:
    if not names:
        return {}
    parts = names.split(SEPARATOR)
    return dict(zip(parts, zip(unpacked_column(mtimes_ns, len(parts)), unpacked_column(sizes_bytes, len(parts)))))


def new_in_flight(
    names: str, mtimes_ns: Column, sizes_bytes: Column, folders: list[str], number: int
) -> tuple[Any, ...]:
    """A packed folder all of whose entries, and itself, a task carries; its folders sorted, the columns packed."""
    flying = (names, mtimes_ns, sizes_bytes, number) if names else ()
    return ("", 0, 0, 0, 0, SEPARATOR.join(folders), flying, {}, 0, number)


def carried_whole(value: tuple[Any, ...], number: int) -> tuple[Any, ...]:
    """A packed folder with all that is in flight in it, and the folder itself, given to one task; 0 takes it out."""
    flying = (*value[6][:3], number) if number and value[6] else ()
    return (*value[:6], flying, *value[7:9], number)


def is_at_rest(value: tuple[Any, ...]) -> bool:
    """Whether nothing in a packed folder is in flight or waits to be sent again."""
    return not (value[6] or value[7] or value[9])


def is_in_order(value: tuple[Any, ...]) -> bool:
    """Whether nothing in a packed folder is to be sent again."""
    return not value[7]


def packed_column(numbers: list[int]) -> Column:
    """A column of numbers as bytes, little-endian; one number when all are the same; a list when one is too large."""
    first = numbers[0] if numbers else 0
    if numbers.count(first) == len(numbers):
        return first
    if min(numbers) < -(1 << 63) or max(numbers) >= 1 << 63:  # a file dated after the year 2262
        return numbers
    code = "I" if min(numbers) >= 0 and max(numbers) < 1 << 32 else "q"
    column = array(code, numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return code, column.tobytes()


def column_holds(column: Column, numbers: bytes) -> bool:
    """Whether a packed column is of exactly these numbers, which are 64-bit ones, little-endian.

    Cost: times, and a column of one number, are compared as bytes; only small numbers are unpacked.
    """
    if isinstance(column, tuple) and column[0] == "q":
        return column[1] == numbers
    if isinstance(column, int) and -(1 << 63) <= column < 1 << 63:
        return numbers == column.to_bytes(8, "little", signed=True) * (len(numbers) // 8)
    found = unpacked_column(("q", numbers), len(numbers) // 8)
    return found == unpacked_column(column, len(found))


def unpacked_column(column: Column, count: int) -> list[int]:
    if isinstance(column, int):
        return [column] * count
    if isinstance(column, list):
        return column
    numbers = array(column[0])
    numbers.frombytes(column[1])
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


class Shelf(Protocol):
    """The mapping a trie lives in, with one thing more than a mapping: its keys below a prefix, in order."""

    def get(self, key: str, /) -> Any: ...
    def __setitem__(self, key: str, value: Any) -> None: ...
    def pop(self, key: str, default: Any, /) -> Any: ...
    def keys_below(self, prefix: str) -> Iterator[str]: ...


class PathTrie:
    """The folders of a tree by rel_path, in a shelf shared with other keys: a folder's key is "/" and its rel_path.

    Args:
        on_put: Told each rel_path whose record is written or removed.
    """

    def __init__(self, shelf: Shelf, *, on_put: Callable[[str], None] = lambda rel_path: None) -> None:
        self._shelf = shelf
        self._on_put = on_put

    def packed(self, rel_path: str) -> tuple[Any, ...] | None:
        """The folder's value as it is stored, or None."""
        value: tuple[Any, ...] | None = self._shelf.get("/" + rel_path)
        return value

    def folder(self, rel_path: str) -> Folder:
        """The folder, blank when nothing is known of it."""
        value = self.packed(rel_path)
        return Folder() if value is None else Folder.unpack(value)

    def put(self, rel_path: str, folder: Folder) -> None:
        """Keep the folder; a blank one leaves no entry."""
        self.put_packed(rel_path, folder.pack())

    def put_packed(self, rel_path: str, value: tuple[Any, ...]) -> None:
        """Keep a folder that is packed already; a blank one leaves no entry."""
        self._on_put(rel_path)
        if any(value):
            self._shelf["/" + rel_path] = value
        else:
            self._shelf.pop("/" + rel_path, None)

    def below(self, rel_path: str) -> Iterator[str]:
        """The rel_path of the folder, if it has an entry, and of every one below it; safe to change meanwhile."""
        if self.packed(rel_path) is not None:
            yield rel_path
        prefix = f"/{rel_path}/" if rel_path else "/"
        for key in self._shelf.keys_below(prefix):
            if key != "/":
                yield key[1:]

    def inherited(self, rel_path: str) -> tuple[int, int]:
        """The verify_until_ns and carried_by of the nearest folder above that has an entry; for one without."""
        while rel_path:
            rel_path = rel_path.rpartition("/")[0]
            value = self.packed(rel_path)
            if value is not None:
                return value[8], value[9]
        return 0, 0

    def link(self, rel_path: str, top: str = "") -> None:
        """Make each folder from `top` down to this one name the next, so that it is missed once it is gone."""
        while rel_path != top:
            above, _, name = rel_path.rpartition("/")
            value = self.packed(above)
            folder = Folder() if value is None else Folder.unpack(value)
            if name in folder.folders:
                return
            if value is None:
                folder.verify_until_ns, folder.carried_by = self.inherited(above)
            folder.folders.add(name)
            self.put(above, folder)
            rel_path = above

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever recorded, or everything was forgotten."""
        root = self.folder("")
        return not (root.delivered or root.in_flight or root.retries or root.folders)


class DictShelf(dict[str, Any], MutableMapping[str, Any]):
    """A shelf in memory, for thinking and for tests."""

    def keys_below(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self if key.startswith(prefix)))


# An empty folder has no content: once made, it is not sent again because its own mtime moved.
EMPTY_FOLDER: Fingerprint = (0, 0)
