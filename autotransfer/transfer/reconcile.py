"""Reconciles the ledger with Globus: asks about each open task, and records what arrived."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import Any

from autotransfer.common.errors import GlobusProblem, TaskUnknown, Unreachable
from autotransfer.common.paths import display, from_collection
from autotransfer.common.summary import (
    PATH_UNREAD,
    TASK_CANCELED,
    TASK_ENDED,
    TASK_INCOMPLETE,
    TASK_LOST,
    TASK_STALLED,
    Notice,
    Summary,
)
from autotransfer.common.text import counted
from autotransfer.datastore import tasks
from autotransfer.datastore.store import Store
from autotransfer.datastore.tasks import WEB_APP, Task
from autotransfer.globus.tasks import Tasks
from autotransfer.plan.rescan import rescan_later
from autotransfer.transfer.results import Recheck, Tally, TaskResult
from autotransfer.transfer.task_status import STUCK, TaskStatus, task_status

FIX_PERMISSIONS = "Fix its permissions."

REMEDIES = {
    "FILE_NOT_FOUND": "If it is there, SRC_PATH is wrong: run test_config.py.",
    "INVALID_PATH_NAME": "Rename it.",
}

ENDED_BADLY = (tasks.FAILED, tasks.CANCELED, tasks.EXPIRED)


class Reconciler:
    """Brings the open tasks up to date with Globus, with one commit for each that has changed.

    Args:
        tasks: How to ask Globus.
        recheck: Returns what a path is now, so that what changed in transit does not count as delivered.
        may_act: Whether a stuck task may be canceled; not in a dry run.
    """

    def __init__(
        self,
        store: Store,
        tasks: Tasks,
        summary: Summary,
        *,
        recheck: Recheck,
        stuck_hours: float,
        clock_ns: Callable[[], int],
        commit: Callable[[], None],
        may_act: bool = True,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._summary = summary
        self._recheck = recheck
        self._stuck_hours = stuck_hours
        self._clock_ns = clock_ns
        self._commit = commit
        self._may_act = may_act

    def reconcile_all(self) -> list[dict[str, Any]]:
        """Reconcile every open task that Globus has accepted; returns the documents of those still under way.

        Raises:
            Unreachable, SignInNeeded: Globus cannot be asked any more; what was reconciled before is recorded.
        """
        under_way = []
        for task in list(self._store.ledger.open.values()):
            if task.state != tasks.SUBMITTED:
                continue
            try:
                document = self._reconcile(task)
            except Unreachable:
                raise
            except GlobusProblem as problem:  # one task that cannot be shown must not delay the others
                self._summary.watch(task.number, Notice.of(problem, task.task_id))
                continue
            if document is not None:
                under_way.append(document)
        return under_way

    def _reconcile(self, task: Task) -> dict[str, Any] | None:
        now_ns = self._clock_ns()
        try:
            document = self._tasks.get(task.task_id)
        except TaskUnknown as problem:
            self._end(
                task,
                tasks.LOST,
                str(problem.why),
                lambda result: result.close(has_arrived=False, code="TASK_UNKNOWN", is_counted=False),
            )
            self._summary.notice(
                TASK_LOST,
                task.task_id,
                f"{task.title} is no longer known to Globus ({problem.why}). "
                f"Its {counted(task.files, 'path')} will be retried.",
            )
            return None
        status = task_status(task, document, now_ns=now_ns, stuck_hours=self._stuck_hours)
        if status.state == STUCK and self._may_act and not task.is_adopted:
            task = self._cancel(task, status)
            document = self._tasks.get(task.task_id)
            status = task_status(task, document, now_ns=now_ns, stuck_hours=self._stuck_hours)
        task = task._replace(ended_at_ns=status.ended_at_ns)
        if status.state == tasks.SUCCEEDED:
            self._end_succeeded(task, status)
            return None
        if status.state in ENDED_BADLY:
            self._end_failed(task, status)
            return None
        self._keep_watching(task, status, now_ns)
        return document

    def _end_succeeded(self, task: Task, status: TaskStatus) -> None:
        skipped = status.skipped
        if task.is_adopted:
            # It was submitted before this run compared these paths, so the content that it carried is not known.
            self._end(
                task,
                tasks.SUCCEEDED,
                "adopted",
                lambda result: result.close(has_arrived=False, code="ADOPTED", is_counted=False),
            )
            return
        failures = list(self._failures(task)) if skipped else []
        if len(failures) < skipped:  # the list is no longer kept, or is withheld: any path may be missing
            tally = self._end(
                task,
                tasks.SUCCEEDED,
                f"{skipped} paths skipped",
                lambda result: result.close(has_arrived=False, code="SKIPPED", is_counted=False),
            )
            self._summary.notice(
                TASK_INCOMPLETE,
                task.task_id,
                f"{task.title} did not send {counted(skipped, 'path')}, and Globus no longer says which. Its "
                f"{counted(tally.returned, 'path')} will be retried, compared by checksum.",
            )
            return
        reason = f"{skipped} paths skipped" if skipped else ""
        still_there: list[tuple[str, str]] = []

        def close(result: TaskResult) -> Tally:
            has_seen_all = not 0 <= status.files < task.files or self._saw_all(task, status, failures, result)
            tally, returned = result.mark_failed(failures)
            still_there.extend(returned)
            if has_seen_all:
                return tally + result.close(has_arrived=True)
            tally += result.mark_delivered(self._arrived(task))
            return tally + result.close(has_arrived=False, code="NOT_SEEN", is_counted=False)

        self._end(task, tasks.SUCCEEDED, reason, close)
        for rel_path, code in still_there:
            path, remedy = display(rel_path), REMEDIES.get(code, FIX_PERMISSIONS)
            self._summary.notice(
                PATH_UNREAD,
                rel_path,
                f"{task.title} did not send {path}: Globus could not read it ({code}). {remedy} It will be retried "
                f"with growing delays, or at once after `set_time.py never --path={shlex.quote(path)}`.",
                cause=code,
            )

    def _saw_all(self, task: Task, status: TaskStatus, failures: list[tuple[str, str]], result: TaskResult) -> bool:
        """Whether Globus found every file that the task carries; a file may have been missing for a moment.

        Globus does not count a skipped file that is an item of its own; it does count one in a folder. If it should
        count otherwise, more is retried than necessary.
        """
        own_items = {item.rel_path for item in self._store.items(task.number) if not item.is_folder}
        skipped_items = sum(rel_path in own_items for rel_path, _ in failures)
        return status.files + skipped_items >= result.count_files()

    def _end_failed(self, task: Task, status: TaskStatus) -> None:
        arrived: Iterator[str] = iter(()) if task.is_adopted else self._arrived(task)
        tally = self._end(
            task,
            status.state,
            status.reason,
            lambda result: (
                result.mark_delivered(arrived)
                + result.close(has_arrived=False, code=status.code, is_counted=not task.is_canceling)
            ),
        )
        self._summary.notice(
            TASK_ENDED,
            task.task_id,
            f"{task.title} ended {status.state} ({status.reason}): {tally.arrived} of {counted(task.files, 'path')} "
            f"delivered; the rest will be retried. Its events: {WEB_APP}/{task.task_id}/event_log",
            cause=f"{status.state} {status.code}",
        )

    def _end(self, task: Task, state: str, reason: str, close: Callable[[TaskResult], Tally]) -> Tally:
        now_ns = self._clock_ns()
        items = self._store.items(task.number)
        # The lists of an ended task come in pages: if one is not available, none of it must be recorded.
        with self._store.all_or_nothing():
            result = TaskResult(
                self._store.trie,
                task.number,
                items,
                now_ns=now_ns,
                recheck=self._recheck,
                ended_at_ns=task.ended_at_ns,
            )
            tally = close(result)
            if tally.returned or tally.gone:  # what is gone may have been the last entry of its folder
                rescan_later(self._store, (item.rel_path for item in items))
            # The paths' records have the same moment.
            ended_at_ns = max(now_ns, task.ended_at_ns)
            self._store.archive(
                task.ended(state, now_ns=ended_at_ns, reason=reason, arrived=tally.arrived, returned=tally.returned)
            )
        self._commit()
        self._summary.watch(task.number, None)
        self._summary.delivered += tally.arrived
        self._summary.retrying += tally.returned
        if state == tasks.SUCCEEDED:
            self._summary.succeeded += 1
        else:
            self._summary.failed += 1
        return tally

    def _keep_watching(self, task: Task, status: TaskStatus, now_ns: int) -> None:
        since_ns = min(task.progress_at_ns, now_ns) if status.progress == task.progress else now_ns
        watched = task._replace(progress=status.progress, progress_at_ns=since_ns, trouble=status.trouble)
        if watched != task:
            self._store.put_task(watched)
            self._commit()
        if not status.trouble:
            self._summary.watch(task.number, None)
            return
        text = (
            f"{task.title} is stalled: {status.trouble}. It carries {counted(task.files, 'path')}; without "
            f"progress it will be canceled after {self._stuck_hours:g} hours, and they will be retried. Its events: "
            f"{WEB_APP}/{task.task_id}/event_log"
        )
        if status.code in ("NOT_A_DIRECTORY", "IS_A_DIRECTORY", "IS_A_FILE"):
            text += (
                " A file has replaced a folder, or a folder a file, and this tool deletes nothing at the destination: "
                "move the old one there out of the way."
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
            "What was not delivered will be retried.",
            cause=status.code,
        )
        return task

    def _failures(self, task: Task) -> Iterator[tuple[str, str]]:
        for source_path, code in self._tasks.skipped(task.task_id):
            rel_path = None if source_path is None else from_collection(task.src_path, source_path)
            if rel_path is not None:
                yield rel_path, code

    def _arrived(self, task: Task) -> Iterator[str]:
        for source_path in self._tasks.successful(task.task_id):
            rel_path = from_collection(task.src_path, source_path)
            if rel_path:
                yield rel_path
