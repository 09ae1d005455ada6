"""Reconciles the open tasks with Globus: asks what became of each, and records it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autotransfer.common import faults
from autotransfer.common.errors import GlobusProblem, Problem, TaskUnknown, Unreachable
from autotransfer.common.summary import TASK_CANCELED, TASK_STALLED, Notice, Summary
from autotransfer.common.text import counted
from autotransfer.common.times import HOUR, MINUTE, NS_PER_SECOND
from autotransfer.datastore.store import Store
from autotransfer.datastore.tasks import CANCELED, EXPIRED, FAILED, PREPARED, READING, SUCCEEDED, WEB_APP, Task
from autotransfer.globus.answers import ODD, words
from autotransfer.globus.tasks import Tasks
from autotransfer.transfer.ended import EndedTasks
from autotransfer.transfer.results import Recheck
from autotransfer.transfer.task_status import STUCK, TaskStatus, task_status

ENDED_BADLY = (FAILED, CANCELED, EXPIRED)

# The trouble of a task that Globus does not show.
UNSEEN = "Globus does not show it"

# For as long after its submission, a task that Globus does not know yet is no trouble (assumed).
FIRST_SHOWN_NS = 5 * MINUTE * NS_PER_SECOND


class Reconciler:
    """Brings the open tasks up to date with Globus, with one commit for each that has changed.

    Args:
        tasks: How to ask Globus.
        recheck: Returns what a path is now, so that what changed in transit does not count as delivered.
        set_time_command: Returns the command of set_time.py for a path, for messages.
        may_act: Whether a stuck task may be canceled; not in a dry run.
    """

    def __init__(
        self,
        store: Store,
        tasks: Tasks,
        summary: Summary,
        *,
        recheck: Recheck,
        set_time_command: Callable[[str], str],
        stuck_hours: float,
        clock_ns: Callable[[], int],
        commit: Callable[[], None],
        may_act: bool = True,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._summary = summary
        self._stuck_hours = stuck_hours
        self._clock_ns = clock_ns
        self._commit = commit
        self._may_act = may_act
        self._ended = EndedTasks(
            store, tasks, summary, recheck=recheck, set_time_command=set_time_command, clock_ns=clock_ns, commit=commit
        )

    def reconcile_all(self) -> list[dict[str, Any]]:
        """Reconcile every open task that Globus has accepted; returns the documents of those still under way.

        Raises:
            Unreachable, SignInNeeded: Globus cannot be asked any more; what was reconciled before is recorded.
        """
        under_way = []
        self._ended.begin_round()
        for task in list(self._store.ledger.open.values()):
            if task.state == PREPARED:
                continue
            try:
                document = self._reconcile(task)
            except Unreachable:
                raise
            except ODD as error:  # nor one whose answers are odd in a way that nobody has thought of
                self._summary.watch(task.number, Notice.of(_not_understood(task, error), task.task_id))
                continue
            except GlobusProblem as problem:  # one task that cannot be shown must not delay the others
                self._summary.watch(task.number, Notice.of(problem, task.task_id))
                continue
            if document is not None:
                under_way.append(document)
        return under_way

    def _reconcile(self, task: Task) -> dict[str, Any] | None:
        if task.state == READING:
            self._ended.read_on(task)
            return None
        now_ns = self._clock_ns()
        try:
            document = self._tasks.get(task.task_id)
        except Unreachable:
            raise
        except GlobusProblem as problem:
            found = self._look_for(task, problem, now_ns)
            if found is None:
                return None
            document = found
            task = task._replace(task_id=document["task_id"])
        status = task_status(task, document, now_ns=now_ns, stuck_hours=self._stuck_hours)
        if status.state == STUCK and self._may_act and not task.is_adopted:
            task = self._cancel(task, status)
            document = self._tasks.get(task.task_id)
            status = task_status(task, document, now_ns=now_ns, stuck_hours=self._stuck_hours)
        if status.state == SUCCEEDED or status.state in ENDED_BADLY:
            self._ended.begin(task, status)
            return None
        self._keep_watching(task, status, now_ns)
        return document

    def _look_for(self, task: Task, problem: GlobusProblem, now_ns: int) -> dict[str, Any] | None:
        """Find a task that Globus does not show under its label, which is used once; returns its document, or None.

        It may still be running, and no path may be in two open tasks. So it is lost only after STUCK_HOURS of such
        answers, when no task has its label, and one run after it was asked to be canceled.
        """
        if isinstance(problem, TaskUnknown) and 0 <= now_ns - task.submitted_at_ns < FIRST_SHOWN_NS:
            return None
        is_new = task.trouble != UNSEEN
        since_ns = now_ns if is_new else min(task.progress_at_ns, now_ns)
        unseen = task._replace(trouble=UNSEEN, progress_at_ns=since_ns, is_canceling=task.is_canceling and not is_new)
        is_late = self._may_act and now_ns - since_ns >= self._stuck_hours * HOUR * NS_PER_SECOND
        if is_late:
            if not task.is_adopted and (document := self._tasks.find_by_label(task.label)) is not None:
                return document
            if task.is_canceling or task.is_adopted:
                self._ended.lose(task, str(problem.why))
                return None
            unseen = unseen._replace(is_canceling=True)
        if unseen != task:
            self._store.put_task(unseen)
            self._commit()
        text = (
            f"{problem} It carries {counted(task.files, 'path')}, to be retried by checksum if Globus does not show it "
            f"for {self._stuck_hours:g} hours, nor lists a task of its label."
        )
        self._summary.watch(task.number, Notice(problem.kind, task.task_id, text, problem.cause))
        if is_late:
            try:
                self._tasks.cancel(task.task_id)
            except Unreachable:
                raise
            except GlobusProblem:  # as is to be expected
                pass
        return None

    def _keep_watching(self, task: Task, status: TaskStatus, now_ns: int) -> None:
        since_ns = min(task.progress_at_ns, now_ns) if status.progress == task.progress else now_ns
        watched = task._replace(progress=status.progress, progress_at_ns=since_ns, trouble=status.trouble)
        if watched != task:
            self._store.put_task(watched)
            self._commit()
        if not status.trouble:
            self._summary.watch(task.number, None)
            return
        canceled = f"without progress it will be canceled after {self._stuck_hours:g} hours, and they will be retried"
        text = (
            f"{task.title} is stalled: {status.trouble}. It carries {counted(task.files, 'path')}; "
            f"{canceled if status.may_cancel else 'it is not canceled'}. Its events: "
            f"{WEB_APP}/{task.task_id}/event_log{faults.remedy(status.code)}"
        )
        self._summary.watch(task.number, Notice(TASK_STALLED, task.task_id, text, status.code))

    def _cancel(self, task: Task, status: TaskStatus) -> Task:
        task = task._replace(is_canceling=True)
        self._store.put_task(task)
        self._commit()
        self._tasks.cancel(task.task_id)
        self._summary.notice(
            TASK_CANCELED,
            task.task_id,
            f"{task.title} made no progress for {self._stuck_hours:g} hours ({status.trouble}), so it was canceled. "
            f"What was not delivered will be retried.{faults.remedy(status.code)}",
            cause=status.code,
        )
        return task


def _not_understood(task: Task, error: Exception) -> Problem:
    return GlobusProblem(
        f"What Globus says of {task.title} cannot be understood",
        why=f"{type(error).__name__}: {words(str(error))}",
        remedy="The other tasks were not affected. The next run asks again; if it says the same, please report it.",
        code=f"show task {{}}: {type(error).__name__}",
    )
