"""The datastore: the records of one route in one file in CODE_PATH, one transaction per commit point.

The file is the shelf `datastore` (see shelf). This module defines what is on it, in which format and about which route.

Keys: FORMAT_VERSION, ROUTE (what the records are about), LEDGER (open tasks), and those defined here; "items N" for
each open task; those of the tasks that ended (see history); "/" and a folder's rel_path for its record (see record);
those of folder_times and of twins.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Callable, Optional

from autotransfer.common.errors import ConfigurationProblem, Problem
from autotransfer.common.files import explained_as, what_to_do
from autotransfer.common.service import Service, refuse_unknown_environment
from autotransfer.datastore import journal, pickles
from autotransfer.datastore.folder_times import FolderTimes
from autotransfer.datastore.history import History
from autotransfer.datastore.record import Record
from autotransfer.datastore.shelf import Shelf, Table, begin, connect, connect_in_memory, shrink
from autotransfer.datastore.tasks import AnyTask, Item, Ledger, Task
from autotransfer.datastore.traces import Mark
from autotransfer.datastore.trie import PathTrie
from autotransfer.datastore.twins import Twins

FORMAT_VERSION = 3

# Keys of the shelf: the most items that a request may hold, once Globus has refused one as too large;
ITEM_LIMIT = "ITEM_LIMIT"

# the summary of the last run; when the last full scan was, for quick ones;
LAST_RUN = "LAST_RUN"
FULL_SCAN = "FULL_SCAN"

# the paths that the next run with a change feed reads although none names them again (see plan/rescan);
RESCAN = "FEED"

# what SRC_DIR ("") and the folders in it that were mount points are: device, inode, file system, birth (see
# plan/source_check);
MOUNTS = "MOUNTS"

# in how many runs in a row paths were listed and could not be read (see plan/rescan);
MOVED = "MOVED"

# the sources of changes that a full scan has found blind, each with a path that it missed; the last lists of a change
# feed, and what the next one must name (see plan/distrust);
BLIND = "BLIND"
LISTS = "LISTS"

# the name of the service that serves the route (see common/service); older datastores have none;
SERVICE = "SERVICE"

# what set_time.py has the next run send (files, bytes);
RESET = "RESET"

# the folders of SRC_DIR that hold copies of what was sent, and are known to be another than DST_DIR;
APART = "APART"

# that a person has confirmed an empty SRC_DIR; it is dropped when something is in SRC_DIR again;
EMPTY_IS_MEANT = "EMPTY_IS_MEANT"

# how often the datastore was committed to (see traces), and that it was restored: when that was noticed, and from which
# number on the tasks carry nothing that is to be compared because of it, 0 until that is known.
MARK = "MARK"
RESTORED = "RESTORED"

# The path of a store that leaves no file, as for a dry run where there is none yet.
IN_MEMORY = ":memory:"


class Store:
    """The datastore, open. Use it in a `with` block; only what `commit` was called for is kept.

    Args:
        leave: Called with the datastore's mark once it was first committed to; None: it is not counted.

    Attributes:
        left: That mark.
        is_blank: Whether it held nothing when it was opened.
        newer: A mark beside it that shows it to be older than what was last used here, or to be made anew.
        unused_journal: The path of a journal that was not its own, and was set aside; "" if there was none.

    Raises:
        ConfigurationProblem: The file cannot be opened or written, is damaged, or has an unknown format. It is
            unchanged then.
    """

    def __init__(self, path: str, *, is_read_only: bool = False, leave: Callable[[Mark], None] | None = None) -> None:
        self.path = path
        self.newer: Mark | None = None
        self.unused_journal = ""
        self.left = Mark()
        self._leave = leave
        self._is_read_only = is_read_only
        self._ledger: Ledger | None = None
        with self._explained("open"):
            remedy = f"{what_to_do(path)} Nothing was sent or recorded."
            with explained_as(ConfigurationProblem, f"Cannot open the datastore {path}", remedy=remedy):
                is_file = path != IN_MEMORY
                if is_file and is_read_only:
                    journal.refuse_foreign(path)
                elif is_file:
                    self.unused_journal = journal.set_aside(path)
                self._connection = connect(path, is_read_only=is_read_only) if is_file else connect_in_memory()
            try:
                self.shelf = Shelf(Table(self._connection))
                self.folder_times = FolderTimes(self.shelf)
                self.twins = Twins(self.shelf)
                self.trie = PathTrie(self.shelf, on_put=self.folder_times.drop)
                self._history = History(self.shelf, self.trie)
                self.is_blank = all(key == b"FORMAT_VERSION" for key in islice(self.shelf.table, 2))
                self._check_version()
                if not is_read_only:
                    shrink(self._connection)
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was not committed is lost."""
        try:
            self._connection.rollback()
        except sqlite3.Error:
            pass  # the disk may be gone; what was committed is not lost
        self._connection.close()

    def commit(self) -> None:
        """Make all changes since the last commit durable, in one step; the first time, count and leave its mark."""
        is_first = self._leave is not None and not self.left.commits
        mark = self.left
        with self._explained("write"):
            if is_first:
                mark = Mark(self.mark.lineage or os.urandom(8).hex(), self.mark.commits + 1)
                self.shelf[MARK] = mark[:2]
            self.folder_times.flush()
            self._connection.commit()
        if is_first and self._leave is not None:
            self.left = mark
            self._leave(mark)

    @property
    def mark(self) -> Mark:
        """How often it was committed to, by how many runs."""
        return Mark(*self.shelf.get(MARK, ()))

    def succeed(self, mark: Mark) -> None:
        """Count on from a mark that was left beside it."""
        self.shelf[MARK] = (mark.lineage, max(self.mark.commits, mark.commits)) if mark.lineage else self.mark[:2]
        self.newer = None

    def rollback(self) -> None:
        """Undo all changes since the last commit."""
        with self._explained("read"):
            if self._connection.in_transaction:
                self._ledger = None
            self.folder_times.forget_unwritten()
            self._connection.rollback()

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Undo what the block wrote if it fails; what was written before it stays. Nothing is committed."""
        begin(self._connection)  # else the release would commit
        self._connection.execute("SAVEPOINT block")
        try:
            yield
        except BaseException:
            self._ledger = None
            self._connection.execute("ROLLBACK TO block")
            raise
        finally:
            self._connection.execute("RELEASE block")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn the errors of the file in the block into a problem with its remedy."""
        with self._explained("read or write"):
            yield

    def claim(self, route: dict[str, str], service: Service | None = None, *, is_anew: bool = False) -> None:
        """Check that the records are about this route; store it when there are none yet, or when `is_anew`.

        Args:
            service: Stored if none is known, or when `is_anew`. The caller has checked it, since only a person can
                change it (see refuse_other_service). None: it does not matter.

        Raises:
            ConfigurationProblem: They are about another route, or globus-sdk does not know the service.
        """
        known = self.shelf.get("ROUTE")
        if service is not None:
            refuse_unknown_environment({service.variable: service.value})
            if is_anew or self.shelf.get(SERVICE) is None:
                self.shelf[SERVICE] = service.name
        if known == route:
            return
        if known is not None and not is_anew:
            names = [name for name in route if known.get(name) != route[name]]
            changes = [f"{name} was {known.get(name)}, is now {route[name]}" for name in names]
            raise ConfigurationProblem(
                f"The datastore {self.path} is about another route",
                details=tuple(changes),
                remedy="For a second route give it a CODE_PATH of its own. If this route has moved, say what has "
                "arrived at its new place: `set_time.py never` (nothing: all is sent) or `set_time.py now` (all is "
                "there). Nothing was sent or recorded.",
            )
        self.shelf["ROUTE"] = route

    def refuse_other_service(self, service: Service) -> None:
        """Make sure that the service that answers now is the one that has served the route so far, if any has.

        Raises:
            ConfigurationProblem: It is another one, as when a variable was left over from a rehearsal.
        """
        known = self.shelf.get(SERVICE)
        if known is None or known == service.name:
            return
        undo = f"Unset {service.variable} and its like (`env | grep GLOBUS_SDK` shows them)"
        if service.is_globus:
            undo = "Set the variables of the rehearsal again to go on with it, or give this route its own CODE_PATH"
        raise ConfigurationProblem(
            f"The records in {self.path} are from the service {known}, and this would ask the service {service.name}",
            why=service.cause,
            remedy=f"{undo}. If the route has really moved there, `set_time.py never --service {service.name}` drops "
            "all records. Nothing was sent or recorded.",
        )

    @property
    def ledger(self) -> Ledger:
        """The open tasks. Cost: read once by a run, which alone may write it; each time by those who only read."""
        if self._ledger is None or self._is_read_only:
            self._ledger = Ledger.from_builtins(self.shelf.get("LEDGER"))
        return self._ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self.shelf["LEDGER"] = ledger.as_builtins()
        self._ledger = ledger

    def pickled_records(self, rel_paths: Sequence[str]) -> list[Optional[bytes]]:
        """The records of folders as they are stored, for workers; in the order given, None where there is none."""
        keys = [("/" + rel_path).encode() for rel_path in rel_paths]
        return list(map(self.shelf.table.many(keys).get, keys))

    def load_record(self, rel_path: str, pickled: bytes | None) -> Record | None:
        """One of them, loaded."""
        return None if pickled is None else Record.from_builtins(self.shelf.load("/" + rel_path, pickled))

    def items(self, number: int) -> list[Item]:
        """The items of an open task."""
        return list(map(Item.from_builtins, self.shelf.get(f"items {number}") or ()))

    def put_items(self, number: int, items: list[Item]) -> None:
        """Keep the items of an open task."""
        self.shelf[f"items {number}"] = [item.as_builtins() for item in items]

    def archive(self, task: Task) -> None:
        """Move a task from the open ones to the history."""
        self._history.archive(task)
        self.drop(task.number)

    def drop(self, number: int) -> None:
        """Remove a task from the open ones."""
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
        return self._history.task(number) or self.ledger.open.get(number)

    def history(self, *, limit: int | None = None) -> Iterator[AnyTask]:
        """The ended tasks, newest first (see History.tasks)."""
        return self._history.tasks(limit=limit)

    def _check_version(self) -> None:
        found = self.shelf.get("FORMAT_VERSION")
        if found is None:
            if len(self.shelf.table):
                raise self._damaged("it holds no FORMAT_VERSION, so another program made it")
            if not self._is_read_only:
                self.shelf["FORMAT_VERSION"] = FORMAT_VERSION
                self._connection.commit()
            return
        if type(found) is not int:
            raise self._damaged("its FORMAT_VERSION is not a number")
        while found != FORMAT_VERSION and found in UPGRADES and not self._is_read_only:
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
                remedy="Run the version of this tool that wrote it, or move the file away and record in the new "
                "one what has arrived, with set_time.py. Nothing was sent or recorded.",
            )
        if not self._is_read_only:
            self._connection.commit()

    def _damaged(self, why: str) -> ConfigurationProblem:
        return ConfigurationProblem(
            f"The datastore {self.path} cannot be used",
            why=why,
            remedy="Restore it from a backup, or move it away and record in a new one what has arrived, with "
            "set_time.py. Nothing was sent or recorded.",
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
                remedy=f"{what_to_do(self.path)} What was recorded before is unharmed.",
            ) from None
        except (sqlite3.DatabaseError, pickles.DamagedValue) as error:
            raise self._damaged(str(error)) from None


def _rewrite_records(store: Store) -> None:
    """Store each record in the present form; `Record.from_builtins` reads the older ones."""
    for rel_path in store.trie.below(""):
        record = store.trie.record(rel_path)
        assert record is not None
        store.trie.put_record(rel_path, record)


# A format to the step that turns it into the next one. Format 1 kept what is in flight by name; format 2 kept no
# evidence.
UPGRADES: dict[int, Callable[[Store], None]] = {1: _rewrite_records, 2: _rewrite_records}
