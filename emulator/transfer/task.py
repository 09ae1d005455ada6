"""One task: what was asked, how far it is, and the states it can be in."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from .submission import Submission

ACTIVE, INACTIVE, SUCCEEDED, FAILED = "ACTIVE", "INACTIVE", "SUCCEEDED", "FAILED"

# Which state may follow which (documented). A pause is no state of its own: a paused task stays ACTIVE.
TRANSITIONS = {
    ACTIVE: {INACTIVE, SUCCEEDED, FAILED},
    INACTIVE: {ACTIVE, FAILED},
    SUCCEEDED: set[str](),
    FAILED: set[str](),
}

# The most events kept of one task: enough to read, too few to fill the memory of a long stall.
_EVENTS_KEPT = 10_000


class Event(NamedTuple):
    """One line of a task's history."""

    code: str
    description: str
    details: str
    is_error: bool
    time: datetime


class Arrival(NamedTuple):
    """A file that was really copied: the item it belongs to, its path below that item ("" is the item), its size.

    `checksum` is its MD5, None if checksums were not verified, or the file has holes.
    """

    item: int
    below: str
    size_bytes: int
    checksum: str | None


class SkippedError(NamedTuple):
    """A path that was given up because of an error."""

    source_path: str
    destination_path: str
    code: str
    details: str
    time: datetime
    is_directory: bool


@dataclass
class Task:
    """A transfer or deletion that was accepted.

    Counters carry the names of the task document. `is_started` distinguishes a running task from a queued one.
    `read_older` holds the source paths that the transfer node saw as they were before.
    """

    submission: Submission
    owner_id: str
    request_time: datetime
    deadline: datetime
    task_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = ACTIVE
    is_started: bool = False
    started_at: datetime | None = None
    completion_time: datetime | None = None
    fatal_error: tuple[str, str] | None = None
    nice_status: str = "Queued"
    is_paused: bool = False
    canceled_by_admin: str | None = None
    canceled_by_admin_message: str | None = None
    history_deleted: bool = False
    last_error_at: datetime | None = None

    faults: int = 0
    files: int = 0
    directories: int = 0
    symlinks: int = 0
    files_transferred: int = 0
    files_skipped: int = 0
    bytes_transferred: int = 0
    bytes_checksummed: int = 0
    subtasks_total: int = 0
    subtasks_succeeded: int = 0
    subtasks_failed: int = 0
    subtasks_canceled: int = 0
    subtasks_expired: int = 0
    subtasks_skipped_errors: int = 0

    events: deque[Event] = field(default_factory=lambda: deque(maxlen=_EVENTS_KEPT))
    arrivals: list[Arrival] = field(default_factory=list)
    read_older: set[str] = field(default_factory=set)
    skipped: list[SkippedError] = field(default_factory=list)

    steps: Iterator[int] | None = None
    is_worked_out: bool = False
    is_stalled: bool = False
    work_total: int | None = None
    work_done: int = 0
    polls: int = 0

    @property
    def kind(self) -> str:
        """TRANSFER or DELETE."""
        return self.submission.kind

    @property
    def label(self) -> str | None:
        """The label it was given."""
        return self.submission.label

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in (ACTIVE, INACTIVE)

    @property
    def is_queued(self) -> bool:
        """Whether it waits for its turn."""
        return self.is_open and not self.is_started

    @property
    def subtasks_pending(self) -> int:
        """The subtasks that have come to no end yet."""
        ended = self.subtasks_succeeded + self.subtasks_failed + self.subtasks_canceled
        return self.subtasks_total - ended - self.subtasks_expired - self.subtasks_skipped_errors

    @property
    def files_done(self) -> int:
        """The files that were dealt with: copied, found in sync, or given up."""
        return self.files_transferred + self.files_skipped + len(self.skipped)

    def change_status(self, status: str) -> None:
        """Move to another state of the table."""
        assert status in TRANSITIONS[self.status], f"{self.status} -> {status}"
        self.status = status

    def record_event(self, code: str, details: str, time: datetime, *, is_error: bool = False) -> None:
        """Add a line to the history; the description is the code in words (recorded for permission denied)."""
        self.events.append(Event(code, describe(code), details, is_error, time))

    def record_fault(self, code: str, details: str, time: datetime) -> None:
        """Count a fault, and let the task say so until things go better."""
        self.faults += 1
        self.nice_status = code
        self.last_error_at = time
        self.record_event(code, details, time, is_error=True)

    def forget_details(self) -> None:
        """Drop what Globus keeps for 30 days only (documented)."""
        self.history_deleted = True
        self.events.clear()
        self.arrivals = []
        self.skipped = []


_DESCRIPTIONS = {"VERIFY_CHECKSUM": "checksum verification failed", "OK": "OK", "Queued": "Queued"}


def describe(code: str) -> str:
    """A code in words, as `nice_status_short_description` and `fatal_error` carry it."""
    return _DESCRIPTIONS.get(code, code.lower().replace("_", " "))
