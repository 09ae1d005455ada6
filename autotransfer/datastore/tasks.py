"""Tasks: prepared, submitted, ended; and how they are stored. Pure.

    prepared ──POST answered──> submitted ──ended at Globus──> reading ──> succeeded | failed | canceled | expired
        └──POST refused──> (withdrawn)  └──no longer known there──> lost

A prepared task whose answer was lost is posted again with the same submission_id, which Globus runs once only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Union

from autotransfer.common.paths import FOLDER_ITSELF, join, split
from autotransfer.datastore.record import LAG_UNKNOWN

PREPARED, SUBMITTED, READING = "prepared", "submitted", "reading"
SUCCEEDED, FAILED, CANCELED, EXPIRED, LOST = "succeeded", "failed", "canceled", "expired", "lost"

# The page of a task on the web: this and its task_id.
WEB_APP = "https://app.globus.org/activity"


class Task(NamedTuple):
    """One task of ours, open or ended.

    Args:
        number: Ours, counted from 1; records refer to it.
        submission_id: Fetched before the first POST and used for every POST of this task.
        document: What is posted, without its items and submission_id.
        src_path, dst_dir: The roots of its items.
        files, size_bytes, items: What it carries; has_failed: whether sending that has failed before; failing: how many
            of its paths failed more than once.
        is_adopted: Whether task_id is an older task with the same paths, which Globus refused to run twice.
        progress: Counters that increase while Globus makes progress; progress_at_ns: when one last did.
        trouble: What Globus last reported as wrong, or "".
        arrived, returned: How many of its paths were recorded as delivered, and how many will be retried.
        verifies: Whether it verifies checksums, and neither collection is known to switch that off.
        reading: While its lists are read: the fields of Reading.
    """

    number: int
    submission_id: str
    label: str
    sync_level: str
    document: dict[str, Any]
    src_path: str
    dst_dir: str
    files: int
    size_bytes: int
    items: int
    prepared_at_ns: int
    has_failed: bool = False
    failing: int = 0
    state: str = PREPARED
    task_id: str = ""
    submitted_at_ns: int = 0
    is_adopted: bool = False
    progress: tuple[int, ...] = ()
    progress_at_ns: int = 0
    trouble: str = ""
    is_canceling: bool = False
    ended_at_ns: int = 0
    reason: str = ""
    arrived: int = 0
    returned: int = 0
    verifies: bool = False
    reading: tuple[Any, ...] = ()

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"Task {self.task_id} ({self.label})"

    def accepted(self, task_id: str, *, now_ns: int, is_adopted: bool = False) -> Task:
        """The task once Globus has answered."""
        return self._replace(
            state=SUBMITTED, task_id=task_id, submitted_at_ns=now_ns, progress_at_ns=now_ns, is_adopted=is_adopted
        )

    def ended(self, state: str, *, now_ns: int, reason: str, arrived: int, returned: int) -> Task:
        """The task as the history keeps it."""
        return self._replace(
            state=state,
            ended_at_ns=now_ns,
            reason=reason,
            arrived=arrived,
            returned=returned,
            document={},
            progress=(),
            trouble="",
            reading=(),
        )


class Reading(NamedTuple):
    """How far the lists of an ended task have been read.

    Args:
        state, reason, code: What it came to, as TaskStatus has it.
        counts: What its document counts (see task_status.Counts); -1 for what it does not say.
        carried: How many files, without empty folders, it carried when it ended.
        list_name, marker: The list that is being read, and where its next page begins.
        listed, listed_bytes: Paths found in the list of successful transfers, each once, and their recorded sizes.
        has_sizes: Whether every row so far had a size.
        errors: Paths found in the list of skipped errors, each row once.
        is_counted: Whether what is not listed yet was recorded as counted, and is no longer in flight.
        pages: How many of this list were read; idle: how many of them at last named no path that was looked for.
        refused_since_ns: When a page was first refused; 0: the last one was not.
    """

    state: str
    reason: str
    code: str
    counts: tuple[int, ...]
    carried: int
    list_name: str = ""
    marker: str = ""
    listed: int = 0
    listed_bytes: int = 0
    has_sizes: bool = True
    errors: int = 0
    is_counted: bool = False
    pages: int = 0
    refused_since_ns: int = 0
    idle: int = 0


class Item(NamedTuple):
    """One item of a task: a file, an empty folder, or a folder with everything in it.

    Args:
        folder: rel_path of the folder in which the item is recorded.
        name: The file's name there; FOLDER_ITSELF for an empty folder; "" for a folder with everything in it.
        files: How many paths it carries; size_bytes: all of them.
        mtime_ns, why, sync_level, attempts, ctime_lag_ns, earlier_bytes, last_code: Known while it is planned, and not
            stored: the file's mtime, why it is sent (see plan.compare), the sync level it needs, how often sending it
            has failed, its ctime - mtime, the size of the version that was delivered, and why it failed last.
    """

    folder: str
    name: str
    files: int
    size_bytes: int
    mtime_ns: int = 0
    why: str = ""
    sync_level: str = ""
    attempts: int = 0
    ctime_lag_ns: int = LAG_UNKNOWN
    earlier_bytes: int = 0
    last_code: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether Globus is asked to recurse."""
        return self.name in ("", FOLDER_ITSELF)

    @property
    def rel_path(self) -> str:
        return join(self.folder, self.name) if self.name else self.folder

    def as_builtins(self) -> tuple[str, bool, int, int]:
        """The item for the shelf."""
        return self.rel_path, self.is_folder, self.files, self.size_bytes

    @classmethod
    def from_builtins(cls, value: tuple[str, bool, int, int]) -> Item:
        """The item from the shelf. An empty folder is a folder with everything in it."""
        rel_path, is_folder, files, size_bytes = value
        folder, name = (rel_path, "") if is_folder else split(rel_path)
        return cls(folder, name, files, size_bytes)


class EndedTask(NamedTuple):
    """What is kept of a task that ended long ago: which task delivered a path, and when."""

    number: int
    task_id: str
    ended_at_ns: int
    state: str


AnyTask = Union[Task, EndedTask]

# The rows, the states that they refer to by index, and by number the task_ids that are not UUIDs.
PackedTasks = tuple[bytes, tuple[str, ...], dict[int, str]]
ROW_BYTES = 29  # number, ended_at_ns, state, UUID: 4 + 8 + 1 + 16
LAST_NS = (1 << 63) - 1


def pack_tasks(tasks: Iterable[AnyTask]) -> PackedTasks:
    """Ended tasks as builtins, in the order of their numbers. Cost: 29 bytes each."""
    in_order = sorted(tasks, key=lambda task: task.number)
    states = tuple(sorted({task.state for task in in_order}))
    rows, odd_ids = bytearray(), {}
    for task in in_order:
        uuid = _uuid_bytes(task.task_id)
        if uuid is None:
            odd_ids[task.number] = task.task_id
        rows += task.number.to_bytes(4, "little")
        rows += max(-LAST_NS, min(task.ended_at_ns, LAST_NS)).to_bytes(8, "little", signed=True)
        rows += bytes([states.index(task.state)])
        rows += uuid or bytes(16)
    return bytes(rows), states, odd_ids


def unpack_tasks(value: PackedTasks) -> list[EndedTask]:
    """The tasks that `pack_tasks` packed."""
    return [_unpacked(value, start) for start in range(0, len(value[0]), ROW_BYTES)]


def find_task(value: PackedTasks, number: int) -> EndedTask | None:
    """The one of them with this number, or None. Cost: a few rows are read."""
    rows = value[0]
    low, high = 0, len(rows) // ROW_BYTES
    while low < high:
        middle = (low + high) // 2
        start = middle * ROW_BYTES
        found = int.from_bytes(rows[start : start + 4], "little")
        if found == number:
            return _unpacked(value, start)
        low, high = (middle + 1, high) if found < number else (low, middle)
    return None


def _unpacked(value: PackedTasks, start: int) -> EndedTask:
    rows, states, odd_ids = value
    row = rows[start : start + ROW_BYTES]
    number = int.from_bytes(row[:4], "little")
    ended_at_ns = int.from_bytes(row[4:12], "little", signed=True)
    task_id = odd_ids[number] if number in odd_ids else _uuid_text(row[13:])
    return EndedTask(number, task_id, ended_at_ns, states[row[12]])


def _uuid_bytes(text: str) -> bytes | None:
    try:
        uuid = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return None
    return uuid if _uuid_text(uuid) == text else None


def _uuid_text(uuid: bytes) -> str:
    digits = uuid.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Ledger(NamedTuple):
    """The open tasks by number, and the number that the next one gets."""

    open: dict[int, Task]
    next_number: int

    @property
    def at_globus(self) -> list[Task]:
        """The tasks that have not ended there; of the others the lists are still read."""
        return [task for task in self.open.values() if task.state != READING]

    def as_builtins(self) -> dict[str, Any]:
        """The ledger for the shelf."""
        return {"next_number": self.next_number, "open": {number: task._asdict() for number, task in self.open.items()}}

    @classmethod
    def from_builtins(cls, value: Mapping[str, Any] | None) -> Ledger:
        """The ledger from the shelf; an empty one for None."""
        if value is None:
            return cls({}, 1)
        return cls({number: Task(**fields) for number, fields in value["open"].items()}, value["next_number"])
