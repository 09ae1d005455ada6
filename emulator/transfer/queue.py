"""The queue: which tasks run, how fast, until when, and who may list them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from emulator.clock import Clock, hours
from emulator.errors import TransferRefusal, task_not_found

from .collection import Collection
from .copy_job import STALLED, CopyJob, JobContext
from .delete_job import DeletionFailed, delete_steps
from .node_view import NodeView
from .outcome_rules import OutcomeRule, OutcomeRules
from .submission import Submission
from .task import ACTIVE, FAILED, INACTIVE, SUCCEEDED, Task, describe

ACTIVE_TASKS_PER_KIND = 3  # documented, per person
PENDING_TASKS = 100  # documented, per person
HISTORY_DAYS = 30  # documented


@dataclass(frozen=True)
class Progress:
    """How tasks progress: at once, over a number of polls, or over a number of seconds of the emulator's clock.

    A poll is an answer that holds the task's document. The answer to the last of `polls` is the first that shows the
    end.
    """

    mode: str
    amount: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Progress:
        """The progress that `immediate`, `polls:N` or `seconds:S` names.

        Raises:
            ValueError: It names none.
        """
        mode, _, amount = text.partition(":")
        if text == "immediate":
            return cls("immediate")
        try:
            if mode == "polls" and int(amount) >= 1:
                return cls(mode, int(amount))
            if mode == "seconds" and float(amount) > 0:
                return cls(mode, float(amount))
        except ValueError:
            pass
        raise ValueError(f"progress {text!r} is not immediate, polls:N or seconds:S")

    def __str__(self) -> str:
        return "immediate" if self.mode == "immediate" else f"{self.mode}:{self.amount:g}"


@dataclass
class PathConflict:
    """A path that two open tasks carried at once."""

    path: str
    task_ids: tuple[str, str]
    at: datetime


@dataclass
class TaskQueue:
    """All tasks, in the order they came."""

    clock: Clock
    rules: OutcomeRules
    collection: Callable[[str], Collection]
    progress: Progress
    view: NodeView = field(default_factory=NodeView)
    tasks: dict[str, Task] = field(default_factory=dict)
    conflicts: list[PathConflict] = field(default_factory=list)
    _by_submission: dict[str, str] = field(default_factory=dict)
    _jobs: dict[str, CopyJob] = field(default_factory=dict)
    _driven: Task | None = None

    # --- coming in --------------------------------------------------------------------------------------------------

    def duplicate_of(self, submission_id: str) -> Task | None:
        """The task that this submission made already."""
        task_id = self._by_submission.get(submission_id)
        return None if task_id is None else self.tasks[task_id]

    def accept(self, submission: Submission, owner_id: str) -> Task:
        """A new task, queued; it starts at once if fewer than the most are running.

        Raises:
            TransferRefusal: 409: an open task of the owner has identical paths, or too many tasks wait.
        """
        mine = [task for task in self.tasks.values() if task.is_open and task.owner_id == owner_id]
        identity = submission.identity
        if any(submission.kind == task.kind == "TRANSFER" and task.submission.identity == identity for task in mine):
            # observed
            raise TransferRefusal(409, "Conflict", "A transfer with identical paths has not yet completed")
        if len(mine) >= ACTIVE_TASKS_PER_KIND + PENDING_TASKS:
            # Observed: the code. Its words are assumed.
            raise TransferRefusal(
                409, "ClientError.Conflict.TooManyPendingJobs", f"Only {PENDING_TASKS} tasks may be pending"
            )
        now = self.clock.now()
        task = Task(submission, owner_id, now, submission.deadline or now + hours(24))
        if submission.kind == "TRANSFER":
            self.conflicts.extend(find_conflicts(task, mine, now))
        self.tasks[task.task_id] = task
        self._by_submission[submission.submission_id] = task.task_id
        self.advance()
        return task

    # --- progress ---------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Bring all tasks up to the present: start, drive, expire, and forget old ones."""
        for task in list(self.tasks.values()):
            if task.is_open and task.is_started and self.progress.mode != "polls":
                self._drive(task)
        self._expire()
        is_moving = True
        while is_moving:
            started = self._start_next()
            for task in started:
                if self.progress.mode != "polls":
                    self._drive(task)
            is_moving = bool(started)
        self._forget_history()

    def poll(self, task: Task) -> None:
        """Count that the task was asked for, which in `polls` mode is what drives it."""
        if self.progress.mode == "polls" and task.is_open and task.is_started:
            task.polls += 1
            self._drive(task)
            self.advance()

    def _start_next(self) -> list[Task]:
        """Start queued tasks up to the most that may run; returns those."""
        started = []
        working: dict[tuple[str, str], int] = {}
        for task in self.tasks.values():
            if task.is_open and task.is_started and task.status == ACTIVE and not task.is_paused:
                key = (task.owner_id, task.kind)
                working[key] = working.get(key, 0) + 1
        for task in self.tasks.values():
            key = (task.owner_id, task.kind)
            if not task.is_queued or task.is_paused or task.status != ACTIVE:
                continue
            if working.get(key, 0) >= ACTIVE_TASKS_PER_KIND:
                self._keep_waiting(task)
                continue
            working[key] = working.get(key, 0) + 1
            self._start(task)
            started.append(task)
        return started

    def _keep_waiting(self, task: Task) -> None:
        # A queued transfer is pushed to a day from now, unless its owner set a deadline (documented).
        if task.submission.deadline is None and task.kind == "TRANSFER":
            task.deadline = max(task.deadline, self.clock.now() + hours(24))

    def _start(self, task: Task) -> None:
        now = self.clock.now()
        task.is_started = True
        task.started_at = now
        task.nice_status = "OK"
        details = '{"type": "GridFTP Transfer", "concurrency": 2, "parallelism": 4, "pipelining": 20}'
        task.record_event("STARTED", details if task.kind == "TRANSFER" else "", now)
        source = self.collection(task.submission.source_id)
        if task.kind == "DELETE":
            task.steps = delete_steps(task, source, self.clock)
            return
        destination = self.collection(task.submission.destination_id or "")
        context = JobContext(self.clock, self.rules, source, destination, self.view, self.apply_rule, self.fail)
        job = CopyJob(task, context)
        self._jobs[task.task_id] = job
        task.steps = job.steps()

    def _drive(self, task: Task) -> None:
        """Let a started task do its work as far as progress allows now."""
        if not task.is_open or task.status != ACTIVE or task.is_paused or task.steps is None:
            return
        if task.deadline <= self.clock.now() and (task.is_stalled or not self._ends_in_time(task)):
            return  # too late: it expires
        if self._is_cut_off(task):
            return
        share = self._share(task)
        target = None if share >= 1 else share * self._work_total(task)
        before = (task.work_done, task.files_done)
        task.is_stalled = False
        self._driven = task
        try:
            self._run(task, target)
        except DeletionFailed as failure:
            task.is_worked_out = True
            self._end(task, FAILED, failure.code)
        finally:
            self._driven = None
        if not task.is_open:
            self._close(task)
            return
        if before != (task.work_done, task.files_done) and task.submission.deadline is None and task.kind == "TRANSFER":
            task.deadline = self.clock.now() + hours(72)
        if task.is_worked_out and share >= 1:
            self._end(task, SUCCEEDED, None)

    def _run(self, task: Task, target: float | None) -> None:
        assert task.steps is not None
        while target is None or task.work_done < target:
            cost = next(task.steps, None)
            if cost is None:
                task.is_worked_out = True
                return
            if cost == STALLED:
                task.is_stalled = task.is_open
                return
            task.work_done += cost

    def _is_cut_off(self, task: Task) -> bool:
        """Whether a personal endpoint of the task cannot be reached, which is a fault each time it is tried."""
        for collection_id in (task.submission.source_id, task.submission.destination_id):
            if collection_id is None:
                continue
            side = self.collection(collection_id)
            code = "GC_NOT_CONNECTED" if side.is_offline else "GC_PAUSED" if side.is_halted else None
            if code is not None:
                task.is_stalled = True
                task.record_fault(code, f"Endpoint: {side.title}", self.clock.now())
                return True
        if task.nice_status in ("GC_NOT_CONNECTED", "GC_PAUSED"):
            task.nice_status = "OK"
        return False

    def _share(self, task: Task) -> float:
        """How much of a task shall be done by now, from 0 to 1."""
        if self.progress.mode == "polls":
            return task.polls / self.progress.amount
        if self.progress.mode == "seconds" and task.started_at is not None:
            return (self.clock.now() - task.started_at).total_seconds() / self.progress.amount
        return 1.0

    def _ends_in_time(self, task: Task) -> bool:
        """Whether a task that takes seconds had enough of them before its deadline."""
        if self.progress.mode != "seconds" or task.started_at is None:
            return True
        return task.started_at + timedelta(seconds=self.progress.amount) <= task.deadline

    def _work_total(self, task: Task) -> int:
        if task.work_total is None:
            job = self._jobs.get(task.task_id)
            task.work_total = len(task.submission.items) if job is None else job.measure()
        return task.work_total

    def _expire(self) -> None:
        now = self.clock.now()
        for task in self.tasks.values():
            if not task.is_open or task.deadline > now:
                continue
            if task.is_queued and not task.is_paused and task.kind == "TRANSFER" and task.submission.deadline is None:
                self._keep_waiting(task)
                continue
            self._end(task, FAILED, "EXPIRED")

    def _forget_history(self) -> None:
        oldest = self.clock.now() - timedelta(days=HISTORY_DAYS)
        for task in self.tasks.values():
            if task.completion_time is not None and task.completion_time <= oldest and not task.history_deleted:
                task.forget_details()

    # --- endings and interventions ----------------------------------------------------------------------------------

    def _end(self, task: Task, status: str, code: str | None) -> None:
        now = self.clock.now()
        pending = task.subtasks_pending
        if status == FAILED and not task.is_started:
            pending = task.subtasks_total = len(task.submission.items)
        task.change_status(status)
        task.completion_time = now
        task.is_paused = False
        if status == SUCCEEDED:
            task.record_event("SUCCEEDED", "", now)
        elif code is not None:
            task.fatal_error = (code, describe(code))
            task.record_event(code, "", now, is_error=True)
            if code == "CANCELED":
                task.subtasks_canceled += pending
            elif code == "EXPIRED":
                task.subtasks_expired += pending
            else:
                task.subtasks_failed += max(pending, 0)
        if self._driven is not task:
            self._close(task)

    def _close(self, task: Task) -> None:
        steps, task.steps = task.steps, None
        self._jobs.pop(task.task_id, None)
        close = getattr(steps, "close", None)
        if close is not None:
            close()

    def fail(self, task: Task, code: str) -> None:
        """End an open task with a fatal error."""
        if task.is_open:
            self._end(task, FAILED, code)

    def cancel(self, task: Task, *, by_admin: str | None = None, message: str | None = None) -> bool:
        """End an open task as canceled; False when it had ended already. `by_admin` is SOURCE, DESTINATION or BOTH."""
        if not task.is_open:
            return False
        task.canceled_by_admin = by_admin
        task.canceled_by_admin_message = message
        self._end(task, FAILED, "CANCELED")
        return True

    def pause(self, task: Task, is_paused: bool) -> None:
        """Pause a task as an administrator does, or let it go on (documented deadlines)."""
        if not task.is_open or task.is_paused == is_paused:
            return
        now = self.clock.now()
        task.is_paused = is_paused
        task.nice_status = "PAUSED" if is_paused else "OK" if task.is_started else "Queued"
        task.record_event("PAUSED" if is_paused else "UNPAUSED", "", now)
        if task.submission.deadline is None:
            task.deadline = now + (timedelta(days=90) if is_paused else hours(24))

    def set_inactive(self, task: Task, is_inactive: bool) -> None:
        """Let a task's credentials expire, or renew them."""
        if is_inactive and task.status == ACTIVE:
            task.change_status(INACTIVE)
            task.nice_status = "NO_CREDENTIALS"
        elif not is_inactive and task.status == INACTIVE:
            task.change_status(ACTIVE)
            task.nice_status = "OK"

    def forget(self, task: Task) -> None:
        """Remove every trace of a task, its submission id too."""
        if self._driven is not task:
            self._close(task)
        self.tasks.pop(task.task_id, None)
        self._by_submission.pop(task.submission.submission_id, None)

    def apply_rule(self, task: Task, rule: OutcomeRule) -> None:
        """Let a rule have its way with a task."""
        if rule.outcome in ("fail", "half"):
            self.fail(task, rule.code)
        elif rule.outcome == "cancel":
            self.cancel(task)
        elif rule.outcome == "expire":
            self.fail(task, "EXPIRED")
        elif rule.outcome == "inactive":
            self.set_inactive(task, True)
        elif rule.outcome == "pause":
            self.pause(task, True)
        elif rule.outcome == "forget":
            self.fail(task, "CANCELED")
            self.forget(task)

    # --- looking ----------------------------------------------------------------------------------------------------

    def expected_end(self, task: Task) -> datetime | None:
        """When a task that takes seconds will have had enough of them."""
        if self.progress.mode != "seconds" or task.started_at is None or not task.is_open:
            return None
        return task.started_at + timedelta(seconds=self.progress.amount)

    def find(self, task_id: str, owner_id: str | None = None) -> Task:
        """The task, if there is one and it is the owner's (None: anybody's).

        Raises:
            TransferRefusal: 404, or 403 when it is somebody else's (observed code, assumed text).
        """
        task = self.tasks.get(task_id)
        if task is None:
            raise task_not_found(task_id)
        if owner_id is not None and task.owner_id != owner_id:
            raise TransferRefusal(403, "PermissionDenied", f"You do not have permission to view task '{task_id}'")
        return task


def find_conflicts(task: Task, others: Iterable[Task], now: datetime) -> list[PathConflict]:
    """The source paths that a new task carries while another open one does: the same, or one within the other."""
    mine = task.submission.source_trees
    conflicts: list[PathConflict] = []
    for other in others:
        if other.kind != "TRANSFER" or other.submission.source_id != task.submission.source_id:
            continue
        if other.submission.destination_id != task.submission.destination_id:
            continue
        theirs = other.submission.source_trees
        shared = {path for path in mine if path in theirs or _is_within(path, theirs)}
        shared.update(path for path in theirs if _is_within(path, mine))
        conflicts.extend(PathConflict(path, (other.task_id, task.task_id), now) for path in sorted(shared))
    return conflicts


def _is_within(path: str, trees: dict[str, bool]) -> bool:
    """Whether a path lies below one that is, or may be, a recursive item."""
    while path:
        path = path.rpartition("/")[0]
        if trees.get(path, False):
            return True
    return False
