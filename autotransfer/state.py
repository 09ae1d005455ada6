"""The query room: what the datastore says has arrived, is under way and is to be sent again. Reads, and keeps nothing.

The text, the JSON, the page, the metrics and the manifest all get their facts here. Reading never holds up a run: the
records are read in short pieces, and no lock is held between them; so what is read of a datastore that a run is writing
is not the state of one instant, but each folder's record is one that was committed.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from autotransfer.errors import ConfigurationProblem, RunActive
from autotransfer.ledger import SUCCEEDED, AnyTask, Task
from autotransfer.paths import FOLDER_ITSELF, join
from autotransfer.settings import Settings
from autotransfer.store import IN_MEMORY, Store
from autotransfer.summary import Summary
from autotransfer.times import DAY, NS_PER_SECOND
from autotransfer.trie import Folder, PathTrie, is_at_rest, unpacked_column

Answer = TypeVar("Answer")
# What SQLite says while a run commits, after the store has waited for it.
LOCKED = "database is locked"
PATIENCE_SECONDS = 60.0
# Few enough to read at once that a run's commit never waits for long, and that little memory is used.
KEYS_AT_A_TIME, RECORDS_AT_A_TIME = 500, 16
QUARTER_NS = 900 * NS_PER_SECOND
LATENCY_DAYS = 30
EXAMPLES = 3
MOST_CODES = 100
BAD_TASK_DAYS = 7
MOST_BAD_TASKS, MOST_LOOKED_AT = 10, 200


# ---- reading while a run writes ------------------------------------------------------------------------------------


def patiently(
    read: Callable[[], Answer],
    *,
    on_wait: Callable[[], None] = lambda: None,
    patience_seconds: float = PATIENCE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """What `read` gives, once no run is in the middle of writing; each try itself waits for 5 seconds.

    Args:
        on_wait: Told once, when the first try had to be given up.

    Raises:
        RunActive: A run has been writing all the time.
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
    """The datastore for those who only look; it can be used as the shelf of a PathTrie.

    Args:
        store: Open read-only.
        on_wait: Told when a run's commit has to be waited for.
    """

    def __init__(self, store: Store, *, on_wait: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._on_wait = on_wait
        self.trie = PathTrie(self)
        self._task_id = lru_cache(maxsize=4096)(self._look_up_task_id)

    def read(self, what: Callable[[Store], Answer]) -> Answer:
        """What a short look at the store gives, once no run is in the middle of writing."""

        def once() -> Answer:
            with self._store.explained():
                return what(self._store)

        return patiently(once, on_wait=self._on_wait)

    def get(self, key: str, /) -> Any:
        return self.read(lambda store: store.shelf.get(key))

    def __setitem__(self, key: str, value: Any) -> None:
        raise TypeError("a Reader changes nothing")

    def pop(self, key: str, default: Any, /) -> Any:
        raise TypeError("a Reader changes nothing")

    def keys_below(self, prefix: str) -> Iterator[str]:
        """The keys that begin with the prefix, in order."""
        first = prefix.encode()
        end = first[:-1] + bytes([first[-1] + 1])

        def piece(store: Store) -> list[str]:
            return [_text(key, store.path) for key in islice(store.shelf.table.keys_from(first, end), KEYS_AT_A_TIME)]

        while keys := self.read(piece):
            yield from keys
            if len(keys) < KEYS_AT_A_TIME:
                return
            first = keys[-1].encode() + b"\0"

    def folders(self, top: str = "") -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The rel_path and the packed record of a folder and of every one below it, in the order of their keys."""
        rel_paths = self.trie.below(top)
        while batch := list(islice(rel_paths, RECORDS_AT_A_TIME)):
            keys = ["/" + rel_path for rel_path in batch]
            values = self.read(lambda store, keys=keys: [store.shelf.get(key) for key in keys])  # type: ignore[misc]
            # A run may have dropped one meanwhile.
            yield from ((rel_path, value) for rel_path, value in zip(batch, values) if value is not None)

    def task(self, number: int) -> AnyTask | None:
        """The task with this number, as far as it is kept."""
        return self.read(lambda store: store.task(number)) if number else None

    def task_id(self, number: int) -> str:
        """The task_id of the task with this number; "" when set_time.py said so, or when it is no longer kept."""
        return self._task_id(number)

    def _look_up_task_id(self, number: int) -> str:
        task = self.task(number)
        return task.task_id if task else ""

    def history(self, limit: int) -> list[AnyTask]:
        """The tasks that ended, newest first."""
        return self.read(lambda store: list(store.history(limit=limit)))


def _text(key: bytes, path: str) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise ConfigurationProblem(
            f"The datastore {path} cannot be used",
            why=f"a key in it is not UTF-8: {key!r}",
            remedy="Restore it from a backup, or move it away and tell a new one what has arrived with set_time.py.",
        ) from None


# ---- folders -------------------------------------------------------------------------------------------------------


class Amount(NamedTuple):
    """A number of files, empty folders among them, and their bytes."""

    files: int = 0
    size_bytes: int = 0

    def __add__(self, other: object) -> Amount:
        assert isinstance(other, Amount)
        return Amount(self.files + other.files, self.size_bytes + other.size_bytes)

    def without(self, part: Amount) -> Amount:
        """What is left; a run may have moved some meanwhile, so never less than nothing."""
        return Amount(max(0, self.files - part.files), max(0, self.size_bytes - part.size_bytes))


NO_FILES = Amount()


class Delivery(NamedTuple):
    """The delivered paths of one folder as columns; cheaper than a record for each."""

    names: list[str]
    mtimes_ns: list[int]
    sizes_bytes: list[int]
    transferred_at_ns: list[int]
    tasks: list[int]


FAILING, TO_RETRY, IN_FLIGHT = "failing", "to_retry", "in_flight"
DELIVERED, VOUCHED, EMPTY = "delivered", "vouched", "empty"
STANDINGS = (FAILING, TO_RETRY, IN_FLIGHT, DELIVERED, VOUCHED, EMPTY)


class FolderState(NamedTuple):
    """What is recorded of the paths in one folder, or of those in many. Each path counts once.

    Args:
        delivered: Nothing else is known to be done about these.
        vouched_files: How many of them count as delivered because set_time.py said so.
        in_flight: A task carries them; an earlier version of some may have been delivered.
        to_retry: To be sent again; `failing_files` failed more than once, `resting_files` wait for their next try.
        last_delivered_ns: When a task last delivered one; 0: never.
        oldest_ns: The mtime of the oldest that is in flight or to be sent again; 0: there is none.
    """

    delivered: Amount = Amount()
    vouched_files: int = 0
    in_flight: Amount = Amount()
    to_retry: Amount = Amount()
    failing_files: int = 0
    resting_files: int = 0
    last_delivered_ns: int = 0
    oldest_ns: int = 0

    def __add__(self, other: object) -> FolderState:
        assert isinstance(other, FolderState)
        return FolderState(
            self.delivered + other.delivered,
            self.vouched_files + other.vouched_files,
            self.in_flight + other.in_flight,
            self.to_retry + other.to_retry,
            self.failing_files + other.failing_files,
            self.resting_files + other.resting_files,
            max(self.last_delivered_ns, other.last_delivered_ns),
            min(filter(None, (self.oldest_ns, other.oldest_ns)), default=0),
        )

    @property
    def files(self) -> int:
        return self.delivered.files + self.in_flight.files + self.to_retry.files

    @property
    def size_bytes(self) -> int:
        return self.delivered.size_bytes + self.in_flight.size_bytes + self.to_retry.size_bytes

    @property
    def standing(self) -> str:
        """One word for all of these: the one of STANDINGS that most wants to be known."""
        if self.failing_files:
            return FAILING
        if self.to_retry.files:
            return TO_RETRY
        if self.in_flight.files:
            return IN_FLIGHT
        if not self.delivered.files:
            return EMPTY
        return VOUCHED if self.vouched_files == self.delivered.files else DELIVERED

    def without(self, part: FolderState) -> FolderState:
        """What is left when some of these are taken away; the moments stay, as nobody knows whose they were."""
        return FolderState(
            self.delivered.without(part.delivered),
            max(0, self.vouched_files - part.vouched_files),
            self.in_flight.without(part.in_flight),
            self.to_retry.without(part.to_retry),
            max(0, self.failing_files - part.failing_files),
            max(0, self.resting_files - part.resting_files),
            self.last_delivered_ns,
            self.oldest_ns,
        )


def delivery(value: tuple[Any, ...]) -> Delivery:
    """What was delivered, straight from a packed folder."""
    names = value[0].split("/") if value[0] else []
    columns = [unpacked_column(column, len(names)) if names else [] for column in value[1:5]]
    return Delivery(names, *columns)


def folder_state(value: tuple[Any, ...], *, now_ns: int) -> FolderState:
    """The state of the paths in one folder, from its packed record."""
    if not is_at_rest(value):
        return _moving_state(Folder.unpack(value), now_ns=now_ns)
    if not value[0]:
        return FolderState()
    columns = delivery(value)
    count = len(columns.names)
    vouched = columns.tasks.count(0)
    if not vouched:
        last_ns = max(columns.transferred_at_ns)
    else:
        last_ns = max((moment for moment, task in zip(columns.transferred_at_ns, columns.tasks) if task), default=0)
    return FolderState(Amount(count, sum(columns.sizes_bytes)), vouched, last_delivered_ns=last_ns)


def _moving_state(folder: Folder, *, now_ns: int) -> FolderState:
    flying = folder.in_flight
    retries = {name: record for name, record in folder.retries.items() if name not in flying}
    at_rest = [record for name, record in folder.delivered.items() if name not in flying and name not in retries]
    moments = [
        *(record.mtime_ns for name, record in flying.items() if name != FOLDER_ITSELF),
        *(record.mtime_ns for name, record in retries.items() if name != FOLDER_ITSELF),
    ]
    return FolderState(
        Amount(len(at_rest), sum(record.size_bytes for record in at_rest)),
        sum(not record.task for record in at_rest),
        Amount(len(flying), sum(record.size_bytes for record in flying.values())),
        Amount(len(retries), sum(record.size_bytes for record in retries.values())),
        sum(record.attempts > 1 for record in retries.values()),
        sum(record.not_before_ns > now_ns for record in retries.values()),
        max((record.transferred_at_ns for record in folder.delivered.values() if record.task), default=0),
        min(moments, default=0),
    )


class TreeFolder(NamedTuple):
    """One folder: what is in it itself, and in it and everything below it. `depth` is 0 for SRC_DIR."""

    rel_path: str
    depth: int
    own: FolderState
    whole: FolderState


def tree(reader: Reader, *, now_ns: int) -> Iterator[TreeFolder]:
    """Every recorded folder after all those below it, siblings in order of name; holds one branch at a time."""
    branch = [_opened(reader, "", now_ns)]
    while branch:
        rel_path, own, whole, names = branch[-1]
        name = next(names, None)
        if name is not None:
            branch.append(_opened(reader, join(rel_path, name), now_ns))
            continue
        branch.pop()
        yield TreeFolder(rel_path, len(branch), own, whole)
        if branch:
            above = branch[-1]
            branch[-1] = (above[0], above[1], above[2] + whole, above[3])


def _opened(reader: Reader, rel_path: str, now_ns: int) -> tuple[str, FolderState, FolderState, Iterator[str]]:
    value = reader.trie.packed(rel_path)
    if value is None:
        return rel_path, FolderState(), FolderState(), iter(())
    own = folder_state(value, now_ns=now_ns)
    return rel_path, own, own, iter(value[5].split("/") if value[5] else ())


class DeliveredPath(NamedTuple):
    """One delivered path; an empty folder's ends in a slash. `task_id` is "" where set_time.py said so."""

    rel_path: str
    size_bytes: int
    mtime_ns: int
    delivered_at_ns: int
    task_id: str


def delivered_paths(reader: Reader, top: str = "") -> Iterator[DeliveredPath]:
    """Every delivered path, by folder in the order of the keys, and by name in each; holds one folder at a time."""
    for rel_path, value in reader.folders(top):
        columns = delivery(value)
        for name, mtime_ns, size_bytes, moment_ns, task in sorted(zip(*columns)):
            path = join(rel_path, name) + "/" * (name == FOLDER_ITSELF)
            yield DeliveredPath(path, size_bytes, mtime_ns, moment_ns, reader.task_id(task))


# ---- everything in one pass ----------------------------------------------------------------------------------------


class Failure(NamedTuple):
    """Paths that are to be sent again for one reason.

    Args:
        code: Globus's, or one of ours.
        amount: How many, and their bytes.
        attempts: The most failed tries that one of them has behind it.
        next_try_ns: When the first of them is tried again; what has passed means the next run.
        task: The number of a task in which that happened.
        examples: Some of their rel_paths.
    """

    code: str
    amount: Amount
    attempts: int
    next_try_ns: int
    task: int
    examples: tuple[str, ...]


class Latency(NamedTuple):
    """How long after it was last written a path was known to have arrived; 0 where nothing was counted."""

    files: int = 0
    median_seconds: float = 0.0
    p95_seconds: float = 0.0


class Records(NamedTuple):
    """All records in one pass.

    Args:
        total: The state of all paths.
        folders: How many folders have a record.
        failures: What is to be sent again, most paths first.
        by_day: What tasks delivered on each day of this machine's time zone; a path counts on its latest day.
        latency: Of what was delivered in the last LATENCY_DAYS days.
    """

    total: FolderState
    folders: int
    failures: tuple[Failure, ...]
    by_day: dict[date, Amount]
    latency: Latency


def add_up(reader: Reader, *, now_ns: int, top: str = "", on_progress: Callable[[int], None] | None = None) -> Records:
    """Go through all records, or those of one folder and below; memory does not grow with their number."""
    total = FolderState()
    folders = 0
    failures: dict[str, Failure] = {}
    series = _Series(latency_since_ns=now_ns - LATENCY_DAYS * DAY * NS_PER_SECOND)
    for rel_path, value in reader.folders(top):
        folders += 1
        total += folder_state(value, now_ns=now_ns)
        series.add(value)
        if value[7]:
            _add_failures(failures, rel_path, Folder.unpack(value))
        if on_progress is not None and folders % 256 == 0:
            on_progress(total.files)
    ordered = sorted(failures.values(), key=lambda failure: (-failure.amount.files, failure.code))
    return Records(total, folders, tuple(ordered), series.by_day(), series.latency())


def _add_failures(failures: dict[str, Failure], rel_path: str, folder: Folder) -> None:
    for name, retry in folder.retries.items():
        if name in folder.in_flight:
            continue
        code = retry.code if retry.code in failures or len(failures) < MOST_CODES else "OTHER"
        known = failures.get(code) or Failure(code, Amount(), 0, retry.not_before_ns, 0, ())
        failures[code] = Failure(
            code,
            known.amount + Amount(1, retry.size_bytes),
            max(known.attempts, retry.attempts),
            min(known.next_try_ns, retry.not_before_ns),
            max(known.task, retry.task),
            known.examples if len(known.examples) >= EXAMPLES else (*known.examples, join(rel_path, name)),
        )


class _Series:
    """Deliveries by quarter of an hour, and latencies with five significant bits: memory does not grow with paths."""

    def __init__(self, *, latency_since_ns: int) -> None:
        self._files: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()
        self._latencies: Counter[int] = Counter()
        self._since_ns = latency_since_ns

    def add(self, value: tuple[Any, ...]) -> None:
        columns = delivery(value)
        if isinstance(value[3], int) and isinstance(value[4], int):  # one task brought them all
            if value[4] and columns.names:
                quarter = value[3] // QUARTER_NS
                self._files[quarter] += len(columns.names)
                self._bytes[quarter] += sum(columns.sizes_bytes)
        else:
            for size_bytes, moment_ns, task in zip(columns.sizes_bytes, columns.transferred_at_ns, columns.tasks):
                if task:
                    self._files[moment_ns // QUARTER_NS] += 1
                    self._bytes[moment_ns // QUARTER_NS] += size_bytes
        if not columns.names or (isinstance(value[3], int) and value[3] < self._since_ns):
            return
        latencies = []
        for mtime_ns, moment_ns, task in zip(columns.mtimes_ns, columns.transferred_at_ns, columns.tasks):
            if task and 0 < mtime_ns <= moment_ns and moment_ns >= self._since_ns:
                seconds = (moment_ns - mtime_ns) // NS_PER_SECOND
                shift = max(0, seconds.bit_length() - 5)
                latencies.append(seconds >> shift << shift)
        self._latencies.update(latencies)

    def by_day(self) -> dict[date, Amount]:
        days: dict[date, Amount] = {}
        for quarter in sorted(self._files):
            day = datetime.fromtimestamp(quarter * QUARTER_NS // NS_PER_SECOND).astimezone().date()
            days[day] = days.get(day, Amount()) + Amount(self._files[quarter], self._bytes[quarter])
        return days

    def latency(self) -> Latency:
        files = sum(self._latencies.values())
        return Latency(files, self._quantile(files, 0.5), self._quantile(files, 0.95)) if files else Latency()

    def _quantile(self, files: int, part: float) -> float:
        seen = 0
        for seconds in sorted(self._latencies):
            seen += self._latencies[seconds]
            if seen >= part * files:
                return seconds + (1 << max(0, seconds.bit_length() - 5)) / 2
        raise AssertionError("no part of the files is more than all of them")


# ---- runs, tasks, and the whole ------------------------------------------------------------------------------------


SCANS = ("full", "quick", "paths")


class LastRun(NamedTuple):
    """The summary of the last run; the counts have the names of the log's closing line, `scan` is one of SCANS."""

    started_at_ns: int
    seconds: float
    status: int
    problem: str
    counts: dict[str, int]
    notices: tuple[str, ...]
    unlisted_notices: int
    scan: str = "full"


class RunMark(NamedTuple):
    """When one of the last runs started, how long it took, and its exit status."""

    started_at_ns: int
    seconds: float
    status: int


class ActiveRun(NamedTuple):
    """A run that holds the lock now."""

    pid: int
    since_ns: int


class State(NamedTuple):
    """What is known of one route.

    Args:
        now_ns: When that was asked.
        last_run, runs: The last run, and up to 20 of the last ones, oldest first.
        active: The run that is under way, where this machine can tell.
        open_tasks: Prepared, or at Globus, as the last run saw them; oldest first.
        bad_tasks: Those of the last tasks that did not succeed within the last week, newest first.
        records: All of them, added up.
    """

    now_ns: int
    last_run: LastRun | None
    runs: tuple[RunMark, ...]
    active: ActiveRun | None
    open_tasks: tuple[Task, ...]
    bad_tasks: tuple[Task, ...]
    records: Records


def open_reader(settings: Settings, *, on_wait: Callable[[], None] = lambda: None) -> tuple[Store, Reader]:
    """The route's datastore, open for reading; an empty one where there is none yet. The caller closes the store.

    Raises:
        ConfigurationProblem: CODE_PATH is missing, or the datastore is damaged, of another format or about another
            route.
        RunActive: A run has been writing all the time.
    """
    path = settings.state_file("datastore")
    if not os.path.lexists(path):
        if not os.path.isdir(settings.code_path):
            raise ConfigurationProblem(
                f"CODE_PATH {settings.code_path} is not a folder",
                remedy="Make the folder, or correct CODE_PATH. Nothing was changed.",
            )
        store = Store(IN_MEMORY)
        return store, Reader(store)
    store = patiently(lambda: Store(path, is_read_only=True), on_wait=on_wait)
    try:
        reader = Reader(store, on_wait=on_wait)
        if reader.get("ROUTE") is not None:
            reader.read(lambda store: store.claim(settings.route))
    except BaseException:
        store.close()
        raise
    return store, reader


def read_state(
    settings: Settings, reader: Reader, *, now_ns: int, on_progress: Callable[[int], None] | None = None
) -> State:
    """Everything that is known of the route."""
    return State(
        now_ns,
        last_run(reader),
        tuple(RunMark(*mark) for mark in reader.get("RUNS") or ()),
        active_run(settings.state_file("lock")),
        tuple(task for _, task in sorted(reader.read(lambda store: store.ledger).open.items())),
        bad_tasks(reader, now_ns=now_ns),
        add_up(reader, now_ns=now_ns, on_progress=on_progress),
    )


def last_run(reader: Reader) -> LastRun | None:
    """The last run's summary, or None when no run has ended yet."""
    kept = reader.get("LAST_RUN")
    if kept is None:
        return None
    counts = {name: kept.get(name) for name in Summary.COUNTS}
    unlisted = kept.get("unlisted_notices")
    return LastRun(
        kept.get("started_at_ns", 0),
        kept.get("seconds", 0.0),
        kept.get("status", 0),
        kept.get("problem", ""),
        {name: count if isinstance(count, int) else 0 for name, count in counts.items()},
        tuple(kept.get("notices", ())),
        unlisted if isinstance(unlisted, int) else 0,
        kept["scan"] if kept.get("scan") in SCANS else "full",
    )


def bad_tasks(reader: Reader, *, now_ns: int) -> tuple[Task, ...]:
    """Those of the last tasks that did not succeed within the last week, newest first."""
    since_ns = now_ns - BAD_TASK_DAYS * DAY * NS_PER_SECOND
    tasks = reader.history(MOST_LOOKED_AT)
    bad = [task for task in tasks if isinstance(task, Task) and task.state != SUCCEEDED and task.ended_at_ns > since_ns]
    return tuple(bad[:MOST_BAD_TASKS])


def active_run(lock_path: str) -> ActiveRun | None:
    """The run that holds the lock, where the system lists its locks; asking takes no lock, so it cannot stop a run."""
    try:
        with open("/proc/locks", encoding="ascii") as locks, open(lock_path, encoding="ascii") as lock:
            status = os.fstat(lock.fileno())
            pid = int(lock.read(100).split()[-1])
            held = [line.split() for line in locks]
    except (OSError, ValueError, IndexError):
        return None
    for words in held:
        if words[1] == "FLOCK" and words[4] == str(pid) and words[5].rpartition(":")[2] == str(status.st_ino):
            return ActiveRun(pid, status.st_mtime_ns)
    return None
