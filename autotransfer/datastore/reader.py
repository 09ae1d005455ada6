"""The datastore for those who only read it, which never holds up a run.

Records are read in short pieces, and no lock is held between them. What is read while a run writes is therefore not the
state of one instant, but each folder's record is one that was committed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, TypeVar

from autotransfer.common.errors import ConfigurationProblem, RunActive
from autotransfer.common.settings import Settings
from autotransfer.datastore.evidence import FOUND
from autotransfer.datastore.opening import compare_marks, refuse_lost
from autotransfer.datastore.record import Record, names_in
from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.datastore.tasks import AnyTask
from autotransfer.datastore.traces import newest
from autotransfer.datastore.trie import PathTrie
from autotransfer.datastore.twins import Doubts

Answer = TypeVar("Answer")

# SQLite's message while a run commits, after the store has waited for it.
LOCKED = "database is locked"
PATIENCE_SECONDS = 60.0

# Few enough that a run's commit never waits long for those who read them, and that they take little memory.
KEYS_AT_A_TIME, RECORDS_AT_A_TIME = 500, 16


def patiently(
    read: Callable[[], Answer],
    *,
    on_wait: Callable[[], None] = lambda: None,
    patience_seconds: float = PATIENCE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """Call `read` until no run is writing, and return its result. Each attempt itself waits for up to 5 seconds.

    Args:
        on_wait: Called once, when the first attempt failed.

    Raises:
        RunActive: A run was writing all the time.
    """
    until: float | None = None
    while True:
        try:
            return read()
        except ConfigurationProblem as problem:
            if problem.why != LOCKED:
                raise
        if until is None:
            until = clock() + patience_seconds
            on_wait()
        elif clock() >= until:
            raise RunActive(
                "A run has been writing its records for more than a minute, and they cannot be read meanwhile",
                remedy="Try again when it has ended. Nothing is wrong with it.",
                is_silent=False,
            )


class Reader:
    """The datastore for those who only read it; it can be the shelf of a PathTrie.

    Args:
        store: Open for reading.
        on_wait: Called when a run's commit has to be waited for.
    """

    def __init__(self, store: Store, *, on_wait: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._on_wait = on_wait
        self.trie = PathTrie(self, as_seen=self._without_doubt)
        self.task_id = lru_cache(maxsize=4096)(self._task_id)

    def read(self, what: Callable[[Store], Answer]) -> Answer:
        """The result of a short reading of the store, once no run is writing."""

        def once() -> Answer:
            with self._store.explained():
                return what(self._store)

        return patiently(once, on_wait=self._on_wait)

    def get(self, key: str, /) -> Any:
        return self.read(lambda store: store.shelf.get(key))

    def __contains__(self, key: str, /) -> bool:
        return self.read(lambda store: key in store.shelf)

    def __setitem__(self, key: str, value: Any) -> None:
        raise TypeError("a Reader changes nothing")

    def pop(self, key: str, default: Any, /) -> Any:
        raise TypeError("a Reader changes nothing")

    def keys_below(self, prefix: str) -> Iterator[str]:
        """The keys that begin with the prefix, in order."""
        keys = self._some_keys(prefix, "")
        while keys:
            yield from keys
            keys = self._some_keys(prefix, keys[-1])

    def _some_keys(self, prefix: str, after: str) -> list[str]:
        return self.read(lambda store: list(islice(store.shelf.keys_below(prefix, after=after), KEYS_AT_A_TIME)))

    def folders(self, top: str = "") -> Iterator[tuple[str, Record]]:
        """The rel_path and the record of a folder and of each one below it, in the order of their keys."""
        rel_paths = self.trie.below(top)
        while batch := list(islice(rel_paths, RECORDS_AT_A_TIME)):
            records = self.read(lambda store, batch=batch: list(map(store.trie.record, batch)))  # type: ignore[misc]
            # A run may have dropped one in the meantime.
            for rel_path, record in zip(batch, records):
                if record is not None:
                    yield rel_path, self._without_doubt(rel_path, record)

    @cached_property
    def doubts(self) -> Doubts:
        """Which paths are in doubt; read once."""
        return Doubts(self)

    def _without_doubt(self, rel_path: str, record: Record) -> Record:
        """The record with no more evidence than `found` for what is in doubt."""
        in_doubt = self.doubts.among(rel_path, names_in(record.names))
        return record.with_evidence_at_most(FOUND, in_doubt) if in_doubt else record

    def task(self, number: int) -> AnyTask | None:
        """The task with this number, or what is kept of it; None for 0."""
        return self.read(lambda store: store.task(number)) if number else None

    def _task_id(self, number: int) -> str:
        """The task_id of the task with this number; "" for 0 (set_time.py), and when it is no longer kept."""
        task = self.task(number)
        return task.task_id if task else ""

    def history(self, limit: int) -> list[AnyTask]:
        """The tasks that ended, newest first."""
        return self.read(lambda store: list(store.history(limit=limit)))


def open_reader(settings: Settings, *, on_wait: Callable[[], None] = lambda: None) -> tuple[Store, Reader]:
    """The route's datastore, open for reading; an empty one where there is none yet. The caller closes the store.

    Raises:
        ConfigurationProblem: CODE_PATH is missing, or the datastore is lost, damaged, in another format or about
            another route.
        RunActive: A run was writing all the time.
    """
    path = settings.state_file("datastore")
    marks = newest(settings)
    if not os.path.lexists(path) or (os.path.isfile(path) and not os.path.getsize(path)):
        refuse_lost(path, marks, "gone" if not os.path.lexists(path) else "empty")
        if not os.path.isdir(settings.code_path):
            raise ConfigurationProblem(
                f"CODE_PATH {settings.code_path} is not a folder",
                remedy="Make the folder, or correct CODE_PATH. Nothing was changed.",
            )
        store = Store(IN_MEMORY)
        return store, Reader(store)
    store = patiently(lambda: Store(path, is_read_only=True), on_wait=on_wait)
    try:
        compare_marks(store, marks)
        if store.is_blank:
            refuse_lost(path, marks, "empty")
        reader = Reader(store, on_wait=on_wait)
        if reader.get("ROUTE") is not None:
            reader.read(lambda store: store.claim(settings.route))
    except BaseException:
        store.close()
        raise
    return store, reader
