"""What the datastore knows of the route: what was delivered, is in flight and will be retried. Read-only.

The text, the JSON, the page, the metrics and the manifest all get their facts here, and of single folders from
folder_state.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NamedTuple

from autotransfer.common.paths import join
from autotransfer.common.service import GLOBUS_NAME
from autotransfer.common.settings import Settings
from autotransfer.common.summary import Notice, Summary
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore.opening import restored_text
from autotransfer.datastore.reader import Reader
from autotransfer.datastore.record import Folder, Record
from autotransfer.datastore.store import FULL_SCAN, RESET, SERVICE
from autotransfer.datastore.tasks import SUCCEEDED, Task
from autotransfer.status.folders import NO_FILES, Amount, FolderState, delivery, folder_state

QUARTER_NS = 900 * NS_PER_SECOND
LATENCY_DAYS = 30
EXAMPLES = 3
MOST_CODES = 100
BAD_TASK_DAYS = 7
MOST_BAD_TASKS, MOST_LOOKED_AT = 10, 200


class Failure(NamedTuple):
    """Paths that will be retried for one reason.

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
    """The time from the last write to a path until it was known to be delivered; 0 where there was none to count."""

    files: int = 0
    median_seconds: float = 0.0
    p95_seconds: float = 0.0


class Records(NamedTuple):
    """All records in one pass.

    Args:
        total: The state of all paths.
        folders: How many folders have a record.
        failures: What will be retried, most paths first.
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
    for rel_path, record in reader.folders(top):
        folders += 1
        total += folder_state(record, now_ns=now_ns)
        series.add(record)
        if record.retries:
            _add_failures(failures, rel_path, Folder.unpack(record))
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
            max(known.attempts, retry.failures),
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

    def add(self, record: Record) -> None:
        columns = delivery(record)
        if isinstance(record.transferred_at_ns, int) and isinstance(record.tasks, int):  # one task brought them all
            if record.tasks and columns.names:
                quarter = record.transferred_at_ns // QUARTER_NS
                self._files[quarter] += len(columns.names)
                self._bytes[quarter] += sum(columns.sizes_bytes)
        else:
            for size_bytes, moment_ns, task in zip(columns.sizes_bytes, columns.transferred_at_ns, columns.tasks):
                if task:
                    self._files[moment_ns // QUARTER_NS] += 1
                    self._bytes[moment_ns // QUARTER_NS] += size_bytes
        newest_ns = max(columns.transferred_at_ns, default=0)
        if newest_ns < self._since_ns:
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


SCANS = ("full", "quick", "paths")


class LastRun(NamedTuple):
    """The summary of the last run.

    Args:
        counts: By the names of the log's closing line.
        scan: One of SCANS.
        full_scan_at_ns: When the last run that read all of SRC_DIR started; 0: not known.
    """

    started_at_ns: int
    seconds: float
    status: int
    problem: str
    counts: dict[str, int]
    notices: tuple[Notice, ...]
    unlisted_notices: int
    scan: str = "full"
    full_scan_at_ns: int = 0


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
        reset: What set_time.py has the next run send.
        service: The name of the service that has served it.
        restored: That the datastore was restored, and no run has noticed it yet, in words; else "".
    """

    now_ns: int
    last_run: LastRun | None
    runs: tuple[RunMark, ...]
    active: ActiveRun | None
    open_tasks: tuple[Task, ...]
    bad_tasks: tuple[Task, ...]
    records: Records
    reset: Amount = NO_FILES
    service: str = GLOBUS_NAME
    restored: str = ""


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
        Amount(*(reader.get(RESET) or (0, 0))),
        known_service(settings, reader),
        reader.read(restored_text),
    )


def known_service(settings: Settings, reader: Reader) -> str:
    """The name of the service that the records are from; if none is recorded, of the one that would answer now."""
    return str(reader.get(SERVICE) or settings.service.name)


def last_run(reader: Reader) -> LastRun | None:
    """The last run's summary, or None when no run has ended yet."""
    kept = reader.get("LAST_RUN")
    if kept is None:
        return None
    counts = {name: kept.get(name) for name in Summary.COUNTS}
    unlisted = kept.get("unlisted_notices")
    scan = kept["scan"] if kept.get("scan") in SCANS else "full"
    started_at_ns = kept.get("started_at_ns", 0)
    full_scan = reader.get(FULL_SCAN) or {"at_ns": started_at_ns if scan == "full" else 0}  # of earlier versions
    return LastRun(
        started_at_ns,
        kept.get("seconds", 0.0),
        kept.get("status", 0),
        kept.get("problem", ""),
        {name: count if isinstance(count, int) else 0 for name, count in counts.items()},
        _notices(kept),
        unlisted if isinstance(unlisted, int) else 0,
        scan,
        kept.get("full_scan_at_ns") or full_scan["at_ns"],
    )


def _notices(kept: dict[str, Any]) -> tuple[Notice, ...]:
    """The notices of a summary; an earlier version stored their texts alone."""
    texts = kept.get("notices", ())
    about = kept.get("notices_about", ())
    if len(about) != len(texts):
        about = [("", "", "")] * len(texts)
    return tuple(Notice(kind, subject, text, cause) for (kind, subject, cause), text in zip(about, texts))


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
