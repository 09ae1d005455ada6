"""The shelf `datastore`: one file in CODE_PATH, one transaction per commit point, restricted reading.

It is a `shelve.Shelf` over a small mapping on SQLite that uses the table of the standard library's `dbm.sqlite3`, so
`shelve.open("datastore")` of Python 3.13 reads it, and on older Pythons it is just as safe. Why not plain
`shelve.open`: where only dbm.dumb exists, a process killed during an update leaves every record unreadable.

Keys: FORMAT_VERSION, ROUTE (what the records are about), LEDGER (open tasks), LAST_RUN, FEED (see feed); "items N" for
each open task; "task N" for each that ended lately, "ended K" for a block of those that ended before, HISTORY (how many
there are of either); "/" and a folder's rel_path for each folder (see trie).
"""

from __future__ import annotations

import io
import os
import pickle
import sqlite3
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from heapq import merge
from itertools import groupby, islice
from shelve import Shelf
from typing import Any, Callable, NamedTuple, Optional

from autotransfer import plain
from autotransfer.errors import ConfigurationProblem, Problem, reason
from autotransfer.forms import is_sound
from autotransfer.ledger import SUCCEEDED, AnyTask, EndedTask, Ledger, Task, find_task, pack_tasks, unpack_tasks
from autotransfer.marks import Marks
from autotransfer.own_files import open_own
from autotransfer.paths import display
from autotransfer.times import DAY, NS_PER_SECOND
from autotransfer.trie import PathTrie

FORMAT_VERSION = 2
# (rel_path, is_folder, files, size_bytes)
StoredItem = tuple[str, bool, int, int]
# The key of the most items a request may hold, once Globus has refused one as too large.
ITEM_LIMIT = "ITEM_LIMIT"
# The key of the summary of the last run; the key of when the last full scan was, for quick ones.
LAST_RUN = "LAST_RUN"
FULL_SCAN = "FULL_SCAN"
# The key of what the next run with a change feed looks at although none names it again (see feed).
AGAIN = "FEED"
# The key that says that a person has confirmed an empty SRC_DIR; it holds until something is there again.
EMPTY_IS_MEANT = "EMPTY_IS_MEANT"
# 32 KiB pages: a folder's record is a few KB, and with small pages most of each would stay empty.
PAGE_BYTES = 32768
CACHE_KIB = 8192
KEYS_AT_A_TIME = 500
MOST_DIGITS = 10
# How many ended tasks are kept whole: the latest, and of those before them that failed lately the latest again. The
# others are packed, this many or more at a time, in blocks of as many numbers.
KEPT_WHOLE = 1_000
FAILED_LATELY_NS = 90 * DAY * NS_PER_SECOND
# Those that no record names are dropped when there are this many packed ones, and twice as many as were left last time.
SWEPT_FROM = 10_000
# A file of this size or more is shrunk when three quarters of it are empty, as after a large tree was removed.
SHRUNK_FROM_BYTES = 32_000_000
LOCKED_WAIT_SECONDS = 30
READER_WAIT_SECONDS = 5
# What SQLite keeps of the making of the table, in lower case and without blanks.
TABLE = "createtabledict(keyblobuniquenotnull,valueblobnotnull)"
# A store that leaves no file, for a dry run where there is none yet.
IN_MEMORY = ":memory:"


class _Table(MutableMapping[bytes, bytes]):
    """bytes to bytes in the table of dbm.sqlite3."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getitem__(self, key: bytes) -> bytes:
        row = self._connection.execute("SELECT value FROM Dict WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        value: bytes = row[0]
        if type(value) is not bytes:
            raise plain.NotPlain("a value in it is no bytes")
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._connection.execute("REPLACE INTO Dict (key, value) VALUES (?, ?)", (key, value))

    def __delitem__(self, key: bytes) -> None:
        if not self._connection.execute("DELETE FROM Dict WHERE key = ?", (key,)).rowcount:
            raise KeyError(key)

    def __iter__(self) -> Iterator[bytes]:
        return self.keys_from(b"", None)

    def __len__(self) -> int:
        count: int = self._connection.execute("SELECT COUNT(*) FROM Dict").fetchone()[0]
        return count

    def many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those of the keys that are there."""
        found: dict[bytes, bytes] = {}
        for at in range(0, len(keys), KEYS_AT_A_TIME):
            some = keys[at : at + KEYS_AT_A_TIME]
            marks = ",".join("?" * len(some))
            found.update(self._connection.execute(f"SELECT key, value FROM Dict WHERE key IN ({marks})", some))  # noqa: S608
        return found

    def keys_from(self, first: bytes, end: bytes | None) -> Iterator[bytes]:
        """The keys from `first` to before `end`, in order; fetched in pieces, so the table may change meanwhile."""
        comparison = ">="
        while True:
            limit = "" if end is None else "AND key < ?"
            # The two variable parts are constants of this function.
            query = f"SELECT key FROM Dict WHERE key {comparison} ? {limit} ORDER BY key LIMIT {KEYS_AT_A_TIME}"  # noqa: S608
            keys = self._connection.execute(query, (first,) if end is None else (first, end)).fetchall()
            yield from (bytes(row[0]) for row in keys)
            if len(keys) < KEYS_AT_A_TIME:
                return
            first, comparison = keys[-1][0], ">"


class _Shelf(Shelf[Any]):
    """A shelf of builtins that reads nothing else, and keeps no cache."""

    dict: _Table

    def __init__(self, table: _Table) -> None:
        super().__init__(table, protocol=4)
        self.table = table

    def __getitem__(self, key: str) -> Any:
        value = plain.load(self.table[key.encode()])
        if not is_sound(key, value):
            raise plain.NotPlain(f"its entry {display(key)} has not the form that it should have")
        return value

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __setitem__(self, key: str, value: Any) -> None:
        pickled = io.BytesIO()
        pickler = pickle.Pickler(pickled, protocol=4)
        pickler.fast = True  # nothing is written as the same as something before it: such values are not read
        pickler.dump(value)
        self.table[key.encode()] = pickled.getvalue()

    def __delitem__(self, key: str) -> None:
        del self.table[key.encode()]

    def __iter__(self) -> Iterator[str]:
        return map(_text, iter(self.table))

    def keys_below(self, prefix: str) -> Iterator[str]:
        """The keys that begin with the prefix, in order; the shelf may change meanwhile."""
        first = prefix.encode()
        end = first[:-1] + bytes([first[-1] + 1])
        return map(_text, self.table.keys_from(first, end))


class _History(NamedTuple):
    """How many ended tasks are kept whole, how many packed, and how many of these the last sweep left."""

    whole: int
    packed: int
    packed_after_sweep: int


class Store:
    """The datastore, open. Use it in a `with` block; nothing is kept but what `commit` was called for.

    Raises:
        ConfigurationProblem: The file cannot be opened or written, is damaged, or has an unknown format. Nothing in it
            was changed then.
    """

    def __init__(self, path: str, *, is_read_only: bool = False) -> None:
        self.path = path
        with self._explained("open"):
            try:
                self._connection = _connect(path, is_read_only=is_read_only)
            except OSError as error:
                raise ConfigurationProblem(
                    f"Cannot open the datastore {path}",
                    why=reason(error),
                    remedy="Check CODE_PATH: the folder must exist and this user must be able to write in it. Nothing "
                    "was sent or recorded.",
                ) from None
            try:
                self.shelf = _Shelf(_Table(self._connection))
                self.marks = Marks(self.shelf)
                self.trie = PathTrie(self.shelf, on_put=self.marks.drop)
                self._check_version(is_read_only)
                if not is_read_only:
                    self._shrink()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was not committed is gone."""
        try:
            self._connection.rollback()
        except sqlite3.Error:
            pass  # the disk may be gone; nothing can be lost that was committed
        self._connection.close()

    def commit(self) -> None:
        """Make everything since the last commit durable, in one step."""
        with self._explained("write"):
            self.marks.flush()
            self._connection.commit()

    def rollback(self) -> None:
        """Forget everything since the last commit."""
        with self._explained("read"):
            self.marks.forget_unwritten()
            self._connection.rollback()

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Take back what the block wrote when it fails; what was written before it stays, and nothing is committed."""
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")  # else the release would commit
        self._connection.execute("SAVEPOINT block")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK TO block")
            raise
        finally:
            self._connection.execute("RELEASE block")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn the faults of the file under the block into a problem with its remedy."""
        with self._explained("read or write"):
            yield

    def claim(self, route: dict[str, str], *, is_anew: bool = False) -> None:
        """Make sure that the records are about this route; note it when there are none yet, or when told to.

        Raises:
            ConfigurationProblem: They are about another one.
        """
        known = self.shelf.get("ROUTE")
        if known == route:
            return
        if known is not None and not is_anew:
            changes = [
                f"{name} was {known.get(name)}, is now {route[name]}"
                for name in route
                if known.get(name) != route[name]
            ]
            raise ConfigurationProblem(
                f"The datastore {self.path} is about another route",
                details=tuple(changes),
                remedy="For a second route give it a CODE_PATH of its own. If this route has moved, say what has "
                "arrived at its new place: `set_time.py never` (nothing: all is sent) or `set_time.py now` (all is "
                "there). Nothing was sent or recorded.",
            )
        self.shelf["ROUTE"] = route

    @property
    def ledger(self) -> Ledger:
        return Ledger.from_builtins(self.shelf.get("LEDGER"))

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self.shelf["LEDGER"] = ledger.as_builtins()

    def records(self, rel_paths: Sequence[str]) -> list[Optional[bytes]]:
        """The records of folders as they are stored, None where there is none; for workers to read. Order as given."""
        found = self.shelf.table.many([("/" + rel_path).encode() for rel_path in rel_paths])
        return [found.get(("/" + rel_path).encode()) for rel_path in rel_paths]

    def items(self, number: int) -> list[StoredItem]:
        """The items of an open task."""
        items: list[StoredItem] = self.shelf.get(f"items {number}") or []
        return items

    def put_items(self, number: int, items: list[StoredItem]) -> None:
        """Keep the items of an open task."""
        self.shelf[f"items {number}"] = items

    def archive(self, task: Task) -> None:
        """Move a task from the open ones to the history."""
        history = self._history
        history = history._replace(whole=history.whole + 1)
        self.shelf[f"task {task.number}"] = task._asdict()
        self.drop(task.number)
        if history.whole >= 3 * KEPT_WHOLE:
            history = self._pack_old(history, now_ns=task.ended_at_ns)
        self._history = history

    def drop(self, number: int) -> None:
        """Take a task off the open ones."""
        ledger = self.ledger
        open_tasks = {other: task for other, task in ledger.open.items() if other != number}
        self.ledger = ledger._replace(open=open_tasks)
        self.shelf.pop(f"items {number}", None)

    def put_task(self, task: Task) -> None:
        """Keep an open task."""
        ledger = self.ledger
        self.ledger = Ledger({**ledger.open, task.number: task}, max(ledger.next_number, task.number + 1))

    def task(self, number: int) -> AnyTask | None:
        """The task with this number: whole when it is open or ended lately, else what is kept of it, or None."""
        fields = self.shelf.get(f"task {number}")
        if fields is not None:
            return Task(**fields)
        packed = self.shelf.get(f"ended {number // KEPT_WHOLE}")
        ended = None if packed is None else find_task(packed, number)
        return ended or self.ledger.open.get(number)

    def history(self, *, newest_first: bool = True, limit: int | None = None) -> Iterator[AnyTask]:
        """The ended tasks by their numbers, at most `limit` of them; Task for those that are kept whole.

        A task is an EndedTask once 1,000 and more came after it, and is dropped some time after no path's record names
        it any more. Failed ones stay whole for 90 days, as long as they are not more than 1,000.
        """
        tasks = merge(
            self._whole_tasks(newest_first), self._packed_tasks(newest_first), key=_number, reverse=newest_first
        )
        return islice(tasks, limit)

    def _whole_tasks(self, newest_first: bool) -> Iterator[AnyTask]:
        return (Task(**self.shelf[f"task {number}"]) for number in self._numbers("task ", newest_first))

    def _packed_tasks(self, newest_first: bool) -> Iterator[AnyTask]:
        for block in self._numbers("ended ", newest_first):
            tasks = self._packed(block)
            yield from reversed(tasks) if newest_first else tasks

    def _numbers(self, prefix: str, newest_first: bool) -> list[int]:
        return sorted(map(_number_in, self.shelf.keys_below(prefix)), reverse=newest_first)

    def _packed(self, block: int) -> list[EndedTask]:
        value = self.shelf.get(f"ended {block}")
        return [] if value is None else unpack_tasks(value)

    @property
    def _history(self) -> _History:
        counts = self.shelf.get("HISTORY")
        if counts is None:  # an earlier version kept all of them whole
            return _History(len(self._numbers("task ", True)), 0, 0)
        return _History(*counts)

    @_history.setter
    def _history(self, history: _History) -> None:
        self.shelf["HISTORY"] = tuple(history)

    def _pack_old(self, history: _History, *, now_ns: int) -> _History:
        numbers = self._numbers("task ", True)
        old, kept_failed = [], 0
        for number in numbers[KEPT_WHOLE:]:
            task = Task(**self.shelf[f"task {number}"])
            is_new_failure = task.state != SUCCEEDED and now_ns - task.ended_at_ns < FAILED_LATELY_NS
            if is_new_failure and kept_failed < KEPT_WHOLE:
                kept_failed += 1
            else:
                old.append(task)
        for block, tasks in groupby(reversed(old), key=_block):
            self._put_packed(block, [*self._packed(block), *tasks])
        for task in old:
            del self.shelf[f"task {task.number}"]
        packed, after_sweep = history.packed + len(old), history.packed_after_sweep
        if packed >= max(SWEPT_FROM, 2 * after_sweep):
            packed = after_sweep = self._drop_unnamed()
        return _History(len(numbers) - len(old), packed, after_sweep)

    def _put_packed(self, block: int, tasks: list[AnyTask]) -> None:
        if tasks:
            self.shelf[f"ended {block}"] = pack_tasks(tasks)
        else:
            self.shelf.pop(f"ended {block}", None)

    def _drop_unnamed(self) -> int:
        """Drop the packed tasks that no path's record names; gives how many are left."""
        named: set[int] = set()
        for rel_path in self.trie.below(""):
            folder = self.trie.folder(rel_path)
            for records in (folder.delivered, folder.retries):
                named.update(record.task for record in records.values())
        left = 0
        for block in self._numbers("ended ", True):
            tasks = [task for task in self._packed(block) if task.number in named]
            self._put_packed(block, list(tasks))
            left += len(tasks)
        return left

    def _check_version(self, is_read_only: bool) -> None:
        found = self.shelf.get("FORMAT_VERSION")
        if found is None:
            if len(self.shelf.table):
                raise self._damaged("it holds no FORMAT_VERSION, so another program made it")
            if not is_read_only:
                self.shelf["FORMAT_VERSION"] = FORMAT_VERSION
                self._connection.commit()
            return
        if type(found) is not int:
            raise self._damaged("its FORMAT_VERSION is no number")
        while found != FORMAT_VERSION and found in UPGRADES and not is_read_only:
            UPGRADES[found](self)
            found += 1
            self.shelf["FORMAT_VERSION"] = found
        if found in UPGRADES:
            raise ConfigurationProblem(
                f"The datastore {self.path} has the older format {found}",
                remedy="The next run of main.py upgrades it. Nothing was sent or recorded.",
            )
        if found != FORMAT_VERSION:
            raise ConfigurationProblem(
                f"The datastore {self.path} has format {found!r}; this version reads format {FORMAT_VERSION}",
                remedy="Run the version of this tool that wrote it, or move the file away and tell the new one "
                "what has arrived with set_time.py. Nothing was sent or recorded.",
            )
        if not is_read_only:
            self._connection.commit()

    def _shrink(self) -> None:
        """Give room back to the disk that only the file's free pages take; until then new records fill it again."""
        pages, free = (self._connection.execute(f"PRAGMA {name}_count").fetchone()[0] for name in ("page", "freelist"))
        if pages * PAGE_BYTES >= SHRUNK_FROM_BYTES and free * 4 >= pages * 3:
            with suppress(sqlite3.OperationalError):  # a full disk or a busy reader puts it off
                self._connection.execute("VACUUM")

    def _damaged(self, why: str) -> ConfigurationProblem:
        return ConfigurationProblem(
            f"The datastore {self.path} cannot be used",
            why=why,
            remedy="Restore it from a backup, or move it away and tell a new one what has arrived with set_time.py. "
            "Nothing was sent or recorded.",
        )

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except Problem:
            raise
        except sqlite3.OperationalError as error:
            raise ConfigurationProblem(
                f"Cannot {doing} the datastore {self.path}",
                why=str(error),
                remedy="Check that its folder exists, is this user's, and that the disk is not full. What was recorded "
                "before is unharmed.",
            ) from None
        except (sqlite3.DatabaseError, plain.NotPlain) as error:
            raise self._damaged(str(error)) from None


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise plain.NotPlain(f"a key in it is not UTF-8: {key!r}") from None


def _number_in(key: str) -> int:
    """The number in a key such as `task 7`."""
    digits = key.partition(" ")[2]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS):
        raise plain.NotPlain(f"its key {display(key)} has no number")
    return int(digits)


def _number(task: AnyTask) -> int:
    return task.number


def _block(task: AnyTask) -> int:
    return task.number // KEPT_WHOLE


def _pack_what_is_in_flight(store: Store) -> None:
    """Format 1 kept what is in flight as a dict by name, which Folder.unpack still reads."""
    for rel_path in store.trie.below(""):
        store.trie.put(rel_path, store.trie.folder(rel_path))


# version -> the step that makes the next one out of it.
UPGRADES: dict[int, Callable[[Store], None]] = {1: _pack_what_is_in_flight}


def _connect(path: str, *, is_read_only: bool) -> sqlite3.Connection:
    if path == IN_MEMORY:
        return _prepared(sqlite3.connect(IN_MEMORY))
    if is_read_only:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))  # the system's own words when it cannot be read
        # A killed run may leave a journal, which even a reader must roll back; so it may write where it is allowed to.
        mode = "rw" if os.access(path, os.W_OK) else "ro"
        connection = sqlite3.connect(f"file:{_quoted(path)}?mode={mode}", uri=True, timeout=READER_WAIT_SECONDS)
        try:
            connection.execute("PRAGMA query_only = ON")
            _refuse_foreign(connection)
        except BaseException:
            connection.close()
            raise
        return connection
    os.close(open_own(path, os.O_RDWR))
    return _prepared(sqlite3.connect(path, timeout=LOCKED_WAIT_SECONDS))


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        # Python 3.13's plain shelve.open turns it into WAL, which does not work on network file systems.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: without it a write need not have reached the disk
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # Not FULL: unless the folder is synced too, a power cut can bring the journal back, and with it take back what
        # was committed: a batch that was posted would be sent a second time.
        connection.execute("PRAGMA synchronous = EXTRA")
        _refuse_foreign(connection)
        connection.execute("CREATE TABLE IF NOT EXISTS Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_foreign(connection: sqlite3.Connection) -> None:
    """Refuse a file with anything in it but our table: a view, a trigger or a computed column can run for ever."""
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        words = "".join(str(sql).split()).lower()
        if not (name == "sqlite_autoindex_Dict_1" or (name, words) == ("Dict", TABLE)):
            raise sqlite3.DatabaseError(f"it holds the {display(f'{kind} {name}')}, so another program made it")


def _quoted(path: str) -> str:
    return "".join(f"%{byte:02x}" if byte in b"%?#" or byte > 126 else chr(byte) for byte in os.fsencode(path))
