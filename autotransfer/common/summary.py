"""What one run found and did, counted; the notices that a person should read. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from autotransfer.common.errors import ExitStatus, Problem
from autotransfer.common.service import GLOBUS_NAME

# More than anyone reads, and few enough to hold.
MOST_NOTICES = 1000

# The kinds of notices; a Problem that became a notice has its own kind (see `errors`). In brackets: what their subject
# and their cause are.
PATH_SKIPPED = "path_skipped"  # a path that this machine cannot read or Globus cannot carry (rel_path; why)
PATH_REFUSED = "path_refused"  # Globus accepts no task with this path (rel_path; its code)
PATH_UNREAD = "path_unread"  # a path that Globus could not read (rel_path; code)
PATHS_FAILING = "paths_failing"  # paths that failed more than once wait for their next try (""; code)
TASK_STALLED = "task_stalled"  # an open task makes no progress (task_id; code)
TASK_CANCELED = "task_canceled"  # such a task was canceled after STUCK_HOURS (task_id; code)
TASK_ENDED = "task_ended"  # a task failed, expired or was canceled by somebody (task_id; state and code)
TASK_INCOMPLETE = "task_incomplete"  # a task skipped paths, and Globus does not say which (task_id)
TASK_LOST = "task_lost"  # Globus does not know a task any more (task_id)
TASK_ADOPTED = "task_adopted"  # an older task carries the same paths (its task_id)
SOURCE_BLIND = "source_blind"  # the times of folders, or a change feed, had missed a change (""; which of the two)
LIST_UNKNOWN = "list_unknown"  # nearly nothing that a change feed named exists
NAMES_FOLD = "names_fold"  # two paths have one name at the destination, or may have (the first of them)
EXECUTOR_UNUSED = "executor_unused"  # SCAN_EXECUTOR did not help
LOG_UNWRITTEN = "log_unwritten"  # the log cannot be written
DATASTORE_RESTORED = "datastore_restored"  # the datastore is older than what was last used in its place
JOURNAL_UNUSED = "journal_unused"  # a journal beside the datastore was not its own
SUMMARY_UNWRITTEN = "summary_unwritten"  # this run's summary cannot be stored


class Notice(NamedTuple):
    """What a person should read of a run.

    Args:
        kind: One of the constants above, or a Problem's.
        subject: What it is about: a rel_path or a task_id; "" for the route as a whole.
        text: It in words. No code decides by it.
        cause: What tells it from notices of its kind about the same subject.
    """

    kind: str
    subject: str
    text: str
    cause: str = ""

    @classmethod
    def of(cls, problem: Problem, subject: str) -> Notice:
        """A problem that did not end the run."""
        return cls(problem.kind, subject, str(problem), problem.cause)


class Summary:
    """The counts of one run, by the names of the log's closing line and of `--json`.

    Attributes:
        service: The name of the service that serves the route.
        scan: "full", "quick", or "paths" when only what a change feed named was read.
        folders, files: Found by the scan; files include empty folders.
        named, outside: Names from a change feed, and those of them that lead out of SRC_DIR.
        new, modified, older, retried: Paths found to be sent, by reason.
        unsettled: Modified too recently, or gone while they were read.
        waiting: Changed while a task carries them, or beyond what may be in flight; `unsubmitted` are the latter.
        backing_off: Failed before, and waiting until their next try.
        failing: Failed more than once, and still to be delivered: backing off, waiting or in flight.
        outdated, outdated_bytes: Delivered in an earlier version, while the newer one has not been submitted.
        vanished: Recorded, and gone from disk.
        links, special_files: Symlinks, and devices, sockets and pipes, that were skipped.
        errors: Paths that could not be read or cannot be sent.
        submitted, items, sent_files, sent_bytes: Tasks that Globus accepted in this run, and what they carry.
        succeeded, failed: Tasks found ended in this run.
        delivered, retrying: Paths recorded in this run as delivered, and as to be retried.
        in_flight_tasks: Tasks open at the end.
        is_wait_over: Whether `--wait` ended before they did.
    """

    COUNTS = (
        *("folders", "files", "named", "outside", "new", "modified", "older", "retried", "bytes"),
        *("unsettled", "waiting", "unsubmitted", "backing_off", "failing", "outdated", "outdated_bytes"),
        *("vanished", "links", "special_files", "errors"),
        *("submitted", "items", "sent_files", "sent_bytes"),
        *("succeeded", "failed", "delivered", "retrying", "in_flight_tasks"),
    )

    def __init__(self, *, started_at_ns: int, service: str = GLOBUS_NAME) -> None:
        self.started_at_ns = started_at_ns
        self.service = service
        self.seconds = 0.0
        self.notices: list[Notice] = []
        self.unlisted_notices = 0
        self.task_ids: list[str] = []
        self.has_trouble = self.is_wait_over = False
        self.scan = "full"
        self._stalled: dict[int, Notice] = {}
        self._failing_by_code: dict[str, int] = {}
        self.folders = self.files = self.named = self.outside = 0
        self.new = self.modified = self.older = self.retried = self.bytes = 0
        self.unsettled = self.waiting = self.unsubmitted = self.backing_off = self.failing = self.vanished = 0
        self.outdated = self.outdated_bytes = 0
        self.links = self.special_files = self.errors = 0
        self.submitted = self.items = self.sent_files = self.sent_bytes = 0
        self.succeeded = self.failed = self.delivered = self.retrying = self.in_flight_tasks = 0

    @property
    def is_quick(self) -> bool:
        """Whether folders were skipped because of their own times."""
        return self.scan == "quick"

    @property
    def changes(self) -> int:
        """The number of paths to be sent."""
        return self.new + self.modified + self.older + self.retried

    @property
    def exit_status(self) -> ExitStatus:
        """PARTIAL when a person should read the notices, else DONE."""
        return ExitStatus.PARTIAL if self.has_trouble else ExitStatus.DONE

    def notice(self, kind: str, subject: str, text: str, *, cause: str = "", is_trouble: bool = True) -> None:
        """Keep a notice; it makes the run a partial one, if it is trouble."""
        self._keep(Notice(kind, subject, text, cause), is_trouble=is_trouble)

    def _keep(self, notice: Notice, *, is_trouble: bool = True) -> None:
        self.has_trouble |= is_trouble
        if len(self.notices) < MOST_NOTICES:
            self.notices.append(notice)
        else:
            self.unlisted_notices += 1

    def watch(self, number: int, notice: Notice | None) -> None:
        """Keep what stalls an open task, in place of what was kept of it before; None: nothing does."""
        self._stalled.pop(number, None)
        if notice is not None:
            self._stalled[number] = notice

    def count_submitted(self, task_id: str, *, items: int, files: int, size_bytes: int) -> None:
        """Count a task that Globus accepted."""
        self.submitted += 1
        self.items += items
        self.sent_files += files
        self.sent_bytes += size_bytes
        self.task_ids.append(task_id)

    def count_outdated(self, size_bytes: int) -> None:
        """Count a path whose delivered version, of that size, is not what is on disk."""
        self.outdated += 1
        self.outdated_bytes += size_bytes

    def count_failing(self, code: str) -> None:
        """Count a path that failed more than once, the last time with this code, and is not in flight."""
        self._failing_by_code[code] = self._failing_by_code.get(code, 0) + 1

    def close(self, *, seconds: float, in_flight_tasks: int, failing_in_flight: int = 0) -> None:
        """Count what is known only at the end.

        While a path is known not to arrive, the run is a partial one, also between its tries. A code that another
        notice of this run has needs no second one.
        """
        self.seconds = seconds
        self.in_flight_tasks = in_flight_tasks
        self.failing = sum(self._failing_by_code.values()) + failing_in_flight
        for code, count in [*self._failing_by_code.items(), ("", failing_in_flight)]:
            is_named = code and any(notice.cause.endswith(code) for notice in self.notices)
            if count and not is_named:
                paths = "1 path" if count == 1 else f"{count:,} paths"
                self.notice(
                    PATHS_FAILING,
                    "",
                    f"{paths} failed more than once ({code or 'in flight again'}); status.py says which and why.",
                    cause=code,
                )
        for notice in self._stalled.values():
            self._keep(notice)
        self._stalled.clear()

    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in self.COUNTS}

    def as_builtins(self) -> dict[str, Any]:
        """Everything, for `--json` and for the datastore; of the notices the texts."""
        return {
            "started_at_ns": self.started_at_ns,
            "seconds": round(self.seconds, 3),
            "status": int(self.exit_status),
            "service": self.service,
            "scan": self.scan,
            **self.counts(),
            "task_ids": self.task_ids,
            "notices": [notice.text for notice in self.notices],
            "unlisted_notices": self.unlisted_notices,
        }

    def as_line(self, status: int) -> str:
        """The log's closing line: key=value, without zeros except for the main counts; `status` is the exit status."""
        shown = {name: count for name, count in self.counts().items() if count or name in ("files", "submitted")}
        pairs = [f"{name}={count}" for name, count in shown.items()]
        scan = "" if self.scan == "full" else f"scan={self.scan} "
        service = "" if self.service == GLOBUS_NAME else f"service={self.service} "
        return f"run status={status} seconds={self.seconds:.2f} {service}{scan}{' '.join(pairs)}"
