"""The file of the datastore: a shelf of builtins over one table of SQLite, and how it is opened.

The shelf is a `shelve.Shelf` over the table of the standard library's `dbm.sqlite3`: `shelve.open` of Python 3.13 reads
the file, and on older Pythons it is just as safe. Plain `shelve.open` is not: where only dbm.dumb exists, a process
killed during an update leaves every record unreadable. What the keys mean is not known here (see store).
"""

from __future__ import annotations

import os
import shelve
import sqlite3
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from autotransfer.common.files import open_own
from autotransfer.common.paths import display
from autotransfer.datastore import pickles
from autotransfer.datastore.pickles import DamagedValue
from autotransfer.datastore.schema import is_sound

# 32 KiB pages: a folder's record is a few KB, and most of a small page would stay empty.
PAGE_BYTES = 32768
CACHE_KIB = 8192
KEYS_AT_A_TIME = 500

# A file of this size or more is shrunk when three quarters of it are free, as after a large tree was removed.
SHRUNK_FROM_BYTES = 32_000_000
LOCKED_WAIT_SECONDS = 30
READER_WAIT_SECONDS = 5

# The table's definition as SQLite keeps it, in lower case and without blanks.
TABLE = "createtabledict(keyblobuniquenotnull,valueblobnotnull)"


class Table(MutableMapping[bytes, bytes]):
    """The table of dbm.sqlite3 as a mapping from bytes to bytes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getitem__(self, key: bytes) -> bytes:
        row = self._connection.execute("SELECT value FROM Dict WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        value: bytes = row[0]
        if type(value) is not bytes:
            raise DamagedValue("a value in it is not bytes")
        return value

    def __contains__(self, key: object) -> bool:
        return self._connection.execute("SELECT 1 FROM Dict WHERE key = ?", (key,)).fetchone() is not None

    def __setitem__(self, key: bytes, value: bytes) -> None:
        begin(self._connection)
        self._connection.execute("REPLACE INTO Dict (key, value) VALUES (?, ?)", (key, value))

    def __delitem__(self, key: bytes) -> None:
        begin(self._connection)
        if not self._connection.execute("DELETE FROM Dict WHERE key = ?", (key,)).rowcount:
            raise KeyError(key)

    def __iter__(self) -> Iterator[bytes]:
        return self.keys_from(b"", None)

    def __len__(self) -> int:
        count: int = self._connection.execute("SELECT COUNT(*) FROM Dict").fetchone()[0]
        return count

    def many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the keys that exist, with their values."""
        found: dict[bytes, bytes] = {}
        for at in range(0, len(keys), KEYS_AT_A_TIME):
            some = keys[at : at + KEYS_AT_A_TIME]
            marks = ",".join("?" * len(some))
            found.update(self._connection.execute(f"SELECT key, value FROM Dict WHERE key IN ({marks})", some))  # noqa: S608
        return found

    def keys_from(self, first: bytes, end: bytes | None) -> Iterator[bytes]:
        """The keys from `first` up to but without `end`, in order; the table may change meanwhile."""
        comparison = ">="
        while True:
            limit = "" if end is None else "AND key < ?"
            # The two variable parts are constants of this function.
            query = f"SELECT key FROM Dict WHERE key {comparison} ? {limit} ORDER BY key LIMIT {KEYS_AT_A_TIME}"  # noqa: S608
            keys = self._connection.execute(query, (first,) if end is None else (first, end)).fetchall()
            for (key,) in keys:
                if type(key) is not bytes:  # the file is damaged
                    raise DamagedValue("a key in it is not bytes")
                yield key
            if len(keys) < KEYS_AT_A_TIME:
                return
            first, comparison = keys[-1][0], ">"


class Shelf(shelve.Shelf[Any]):
    """A shelf of builtins: it reads nothing else, checks the form of what it reads, and keeps no cache."""

    dict: Table

    def __init__(self, table: Table) -> None:
        super().__init__(table, protocol=4)
        self.table = table

    def __getitem__(self, key: str) -> Any:
        return self.load(key, self.table[key.encode()])

    def load(self, key: str, pickled: bytes) -> Any:
        """The value that was pickled for this key.

        Raises:
            DamagedValue: It is damaged, or has not the form of what this key holds.
        """
        value = pickles.load(pickled)
        if not _is_readable(key, value):
            raise DamagedValue(f"its entry {display(key)} has not the form that it should have")
        return value

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __setitem__(self, key: str, value: Any) -> None:
        """Write a value.

        Raises:
            ValueError: It could not be read back, and so would make the datastore unreadable.
        """
        if not _is_readable(key, value):
            raise ValueError(f"the entry {display(key)} would not have the form that it should have")
        self.table[key.encode()] = pickles.dump(value)

    def __delitem__(self, key: str) -> None:
        del self.table[key.encode()]

    def __iter__(self) -> Iterator[str]:
        return map(_text, iter(self.table))

    def keys_below(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """The keys that begin with the prefix, in order; the shelf may change meanwhile.

        Args:
            after: Where to begin: behind this key.
        """
        first = prefix.encode()
        end = first[:-1] + bytes([first[-1] + 1])
        return map(_text, self.table.keys_from(after.encode() + b"\0" if after else first, end))


def _is_readable(key: str, value: Any) -> bool:
    try:
        return is_sound(key, value)
    except RecursionError:  # it is nested too deep, or holds itself
        return False


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise DamagedValue(f"a key in it is not UTF-8: {key!r}") from None


def connect(path: str, *, is_read_only: bool) -> sqlite3.Connection:
    """The file, open; it is created where there is none, unless it is only to be read.

    Raises:
        OSError, sqlite3.Error: It cannot be opened, or another program created it.
    """
    if is_read_only:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))  # raises the system's own error when it cannot be read
        # A killed run may leave a journal, which even a reader must roll back, so it needs to write where it may.
        mode = "rw" if os.access(path, os.W_OK) else "ro"
        connection = sqlite3.connect(f"file:{_quoted(path)}?mode={mode}", uri=True, timeout=READER_WAIT_SECONDS)
        try:
            _refuse_foreign(connection)
            if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():  # an empty database, made by others
                connection.execute("CREATE TEMP TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
            connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        return connection
    os.close(open_own(path, os.O_RDWR))
    return _prepared(sqlite3.connect(path, timeout=LOCKED_WAIT_SECONDS))


def connect_in_memory() -> sqlite3.Connection:
    """An empty table that leaves no file."""
    return _prepared(sqlite3.connect(":memory:"))


def begin(connection: sqlite3.Connection) -> None:
    """Begin a transaction, if none is open, by giving the file a new number.

    So its first page is changed, and kept in the journal, before any other, and no two files have the same first page:
    that shows whether a journal belongs to the file beside it (see journal).
    """
    if not connection.in_transaction:
        connection.execute("BEGIN")
        connection.execute(f"PRAGMA user_version = {int.from_bytes(os.urandom(4), 'big') >> 1}")


def shrink(connection: sqlite3.Connection) -> None:
    """Return the space of free pages to the disk when they are most of the file; else new records fill them."""
    pages, free = (connection.execute(f"PRAGMA {name}_count").fetchone()[0] for name in ("page", "freelist"))
    if pages * PAGE_BYTES >= SHRUNK_FROM_BYTES and free * 4 >= pages * 3:
        with suppress(sqlite3.OperationalError):  # on a full disk, or while someone reads, it waits for a later run
            connection.execute("VACUUM")


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        # Python 3.13's plain shelve.open turns it into WAL, which does not work on network file systems.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: without it a write need not have reached the disk
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # Not FULL, which does not sync the folder: a power failure could bring the journal back, and so undo a commit;
        # a task that was submitted would then be submitted a second time.
        connection.execute("PRAGMA synchronous = EXTRA")
        _refuse_foreign(connection)
        connection.execute("CREATE TABLE IF NOT EXISTS Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_foreign(connection: sqlite3.Connection) -> None:
    """Refuse a file that holds anything but our table: a view, a trigger or a computed column can run for ever."""
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        words = "".join(str(sql).split()).lower()
        if not (name == "sqlite_autoindex_Dict_1" or (name, words) == ("Dict", TABLE)):
            raise sqlite3.DatabaseError(f"it holds the {display(f'{kind} {name}')}, so another program made it")


def _quoted(path: str) -> str:
    return "".join(f"%{byte:02x}" if byte in b"%?#" or byte > 126 else chr(byte) for byte in os.fsencode(path))
