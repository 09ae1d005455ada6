"""Targets that read the datastore: its pickles, its values, its file, and main.py over all of them."""

from __future__ import annotations

import pickle
import resource
import sqlite3
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from suite import DST_ID, SRC_ID, Route

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.times import local_text
from autotransfer.datastore import pickles
from autotransfer.datastore.record import Folder, Record
from autotransfer.datastore.schema import is_sound
from autotransfer.datastore.store import Store
from autotransfer.datastore.tasks import Ledger, Task, pack_tasks, unpack_tasks
from emulator.http.server import Emulator
from emulator.world import Collection
from prove.mutations import PLAIN_VALUES, mutated, mutated_bytes

MORE_BYTES = 2 << 30
# Every exit status but the one that says "a bug".
STATUSES = (0, 2, 3, 4, 5, 6)

COMMANDS = [("main.py",), ("main.py", "--dry-run"), ("set_time.py", "now"), ("status.py",), ("status.py", "--json")]


class StoreTargets:
    """A route with a datastore that holds something of everything; each target damages a copy. Use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._stack = ExitStack()
        self._stack.callback(resource.setrlimit, resource.RLIMIT_AS, resource.getrlimit(resource.RLIMIT_AS))
        _limit_memory()
        ends = [Collection(id=id, root=Path("/"), name=id) for id in (SRC_ID, DST_ID)]
        globus = self._stack.enter_context(Emulator(ends))
        self._route = Route(folder, globus)
        self._datastore = self._route.code_path / "datastore"
        _fill(self._route, globus)
        self._whole = self._datastore.read_bytes()
        with Store(str(self._datastore), is_read_only=True) as store:
            self._values = {key: store.shelf[key] for key in store.shelf}

    def __enter__(self) -> StoreTargets:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def reader(self, data: st.DataObject) -> None:
        """Pickles: read, or refused."""
        whole = pickle.dumps(self._values[data.draw(st.sampled_from(sorted(self._values)))], 4)
        pickled = data.draw(st.one_of(mutated_bytes(whole), st.binary(max_size=200)))
        try:
            value = pickles.load(pickled)
        except pickles.DamagedValue as refused:
            assert str(refused)
        else:
            for key in self._values:
                _consume_if_sound(key, value)

    def values(self, data: st.DataObject) -> None:
        """Values: of the right form, and then everything that reads them copes; or refused."""
        key = data.draw(st.sampled_from(sorted(self._values)))
        value = data.draw(st.one_of(mutated(self._values[key], PLAIN_VALUES), PLAIN_VALUES))
        _consume_if_sound(key, value)

    def file(self, data: st.DataObject) -> None:
        """The file with bytes changed: it opens and reads and takes a record, or there is one clear problem."""
        self._datastore.write_bytes(data.draw(mutated_bytes(self._whole)))
        _remove_journal(self._datastore)
        try:
            _read_all(str(self._datastore))
        except ConfigurationProblem as problem:
            assert str(self._datastore) in str(problem)

    def scripts(self, data: st.DataObject) -> None:
        """main.py, set_time.py or status.py on a datastore whose file or whose values were changed."""
        self._datastore.write_bytes(self._whole)
        _remove_journal(self._datastore)
        key = data.draw(st.sampled_from(sorted(self._values)))
        kind = data.draw(st.integers(0, 4))
        if kind == 0:
            self._datastore.write_bytes(data.draw(mutated_bytes(self._whole)))
        else:
            value = pickle.dumps(data.draw(mutated(self._values[key], PLAIN_VALUES)), 4)
            _put(self._datastore, key, data.draw(mutated_bytes(value)) if kind == 1 else value)
        words = data.draw(st.sampled_from(COMMANDS))
        result = self._route.run(*words, status=None)
        story = f"{words} with {key} changed ended with {result.status}: {result.stdout[-500:]} {result.stderr[-1500:]}"
        assert result.status in STATUSES, story
        log = self._route.code_path / "log"
        if log.exists():
            assert "Traceback" not in log.read_text(), story
            log.unlink()


def _limit_memory() -> None:
    """Let this process and its children have little more memory than it has: a claim of gigabytes fails at once."""
    with suppress(OSError):  # not on macOS
        used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most_bytes = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (used_bytes + MORE_BYTES, most_bytes))


def _fill(route: Route, globus: Emulator) -> None:
    """Let the route have delivered, failed, and under way."""
    for number in range(40):
        route.write(f"run {number % 5}/deep/{number}.dat", f"{number}")
    route.deliver()
    for outcome in ("fail", "skip"):
        globus.world.add_outcome(outcome, times=1)
        route.write(f"run 1/{outcome}.dat", outcome)
        route.write(f"run 1/{outcome} too.dat", outcome)
        route.summary("--wait", "20", status=None)
    globus.world.set_progress("polls:1000000")
    for number in range(5):
        route.write(f"new/{number}.dat", f"{number}")
    route.write("run 1/modified.dat", "x")
    route.summary(status=None)
    with Store(str(route.code_path / "datastore")) as store:
        ended = [task for task in store.history() if isinstance(task, Task)]
        store.shelf["ended 1"] = pack_tasks(ended[0]._replace(number=number) for number in range(1000, 1050))
        store.commit()


def _consume_if_sound(key: str, value: Any) -> None:
    """Whatever is let through must be usable by all that reads it."""
    if not is_sound(key, value):
        return
    if key.startswith("/"):
        record = Record.from_builtins(value)
        folder = Folder.unpack(record)
        assert record.fingerprints().keys() == folder.delivered.keys() | folder.in_flight.keys()
        assert record.is_at_rest is not bool(folder.in_flight or folder.retries or folder.carried_by)
        again = Folder.unpack(folder.pack())
        assert (again.delivered, again.in_flight, again.retries) == (folder.delivered, folder.in_flight, folder.retries)
        for path in folder.delivered.values():
            local_text(path.transferred_at_ns)
        for name in [*folder.delivered, *folder.retries]:
            folder.forget(name)
    elif key == "LEDGER":
        ledger = Ledger.from_builtins(value)
        assert Ledger.from_builtins(ledger.as_builtins()) == ledger
        assert all(task.title for task in ledger.open.values())
    elif key.startswith("ended "):
        for ended in unpack_tasks(value):
            local_text(ended.ended_at_ns)
    elif key.startswith("task "):
        local_text(Task(**value).ended_at_ns)


def _read_all(path: str) -> None:
    with Store(path) as store, store.explained():
        for key in store.shelf:
            store.shelf.get(key)
        for task in store.history():
            store.task(task.number)
        for rel_path in store.trie.below(""):
            store.trie.folder(rel_path)
        for number in store.ledger.open:
            store.items(number)
        store.trie.put("new", store.trie.folder(""))
        store.commit()


def _put(path: Path, key: str, value: bytes) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("REPLACE INTO Dict (key, value) VALUES (?, ?)", (key.encode(), value))


def _remove_journal(path: Path) -> None:
    for name in ("-journal", "-wal", "-shm"):
        Path(f"{path}{name}").unlink(missing_ok=True)
