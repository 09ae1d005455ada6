"""Credits an ended task from what Globus lists of it, page by page; a page and its credits are one commit."""

from __future__ import annotations

from collections.abc import Callable

from autotransfer.common import faults
from autotransfer.common.errors import GlobusProblem, ListRefused, Unreachable
from autotransfer.common.paths import display, from_collection, split
from autotransfer.common.summary import PATH_UNREAD, TASK_ENDED, TASK_INCOMPLETE, TASK_LOST, Summary
from autotransfer.common.text import counted
from autotransfer.common.times import DAY, HOUR, NS_PER_SECOND
from autotransfer.datastore.store import Store
from autotransfer.datastore.tasks import LOST, READING, SUCCEEDED, WEB_APP, Reading, Task
from autotransfer.globus.tasks import SKIPPED, SUCCESSFUL, Page, Row, Tasks
from autotransfer.plan.rescan import rescan_later
from autotransfer.transfer.credit import agrees, copied_evidence, is_proved, rest_decider, unsized_fate
from autotransfer.transfer.listed_paths import ListedPaths
from autotransfer.transfer.results import Decide, Recheck, Tally, TaskResult
from autotransfer.transfer.task_status import Counts, TaskStatus

# Globus lets a person make 20 requests a second; so a run spends some ten seconds on lists at most.
PAGES_A_RUN = 200

# A list ends that goes on for this many pages without a path that is looked for: its pages repeat, or are empty. And
# more pages than the largest task can fill, a hundred million files, are no list.
MOST_IDLE = 200
MOST_PAGES = 1_000_000

# A list may come a moment after its task's end; refused for longer, it does not come. Nor does one that cannot be had
# for days, though Globus can be reached.
REFUSED_FOR_GOOD_NS = HOUR * NS_PER_SECOND
FAILING_FOR_GOOD_NS = 3 * DAY * NS_PER_SECOND
FIX_PERMISSIONS = "Fix its permissions."

REMEDIES = {
    "FILE_NOT_FOUND": "If it is there, SRC_PATH is wrong: run test_config.py.",
    "INVALID_PATH_NAME": "Rename it.",
}


class EndedTasks:
    """Reads the lists of ended tasks within one run's budget, and closes the tasks.

    Args:
        recheck: Reads what a path is now, so that what changed under way is not taken for delivered.
        set_time_command: Returns the command of set_time.py for a path, for messages.
        commit: Makes what was recorded durable.
    """

    def __init__(
        self,
        store: Store,
        tasks: Tasks,
        summary: Summary,
        *,
        recheck: Recheck,
        set_time_command: Callable[[str], str],
        clock_ns: Callable[[], int],
        commit: Callable[[], None],
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._summary = summary
        self._recheck = recheck
        self._set_time_command = set_time_command
        self._clock_ns = clock_ns
        self._commit = commit
        self._pages_left = PAGES_A_RUN
        # What is recorded in one commit has one moment.
        self._now_ns = 0

    def begin(self, task: Task, status: TaskStatus) -> None:
        """Close a task that Globus shows as ended, or begin to read its lists.

        Raises:
            SignInNeeded, GlobusProblem: A list could not be asked for; what was credited before stands.
        """
        self._now_ns = self._clock_ns()
        result = self._result(task)
        reading = Reading(status.state, status.reason, status.code, tuple(status.counts), result.carried_files())
        lists = SUCCESSFUL if status.counts.errors == 0 or status.state != SUCCEEDED else SKIPPED
        task = task._replace(
            state=READING,
            ended_at_ns=status.ended_at_ns,
            verifies=task.verifies and status.verified,
            reading=tuple(reading._replace(list_name=lists)),
        )
        if task.is_adopted:
            # It was submitted before these paths were observed here, so what it carried is not known.
            self._close(task, lambda path: "ADOPTED")
        elif is_proved(task, self._store.items(task.number), status.state, status.counts):
            self._close(task, lambda path: copied_evidence(task))
        elif not status.has_history:
            self._close_unlisted(task)
        else:
            self._store.put_task(task)
            self._commit()
            self.read_on(task)

    def lose(self, task: Task, reason: str) -> None:
        """Close a task that Globus no longer knows; all of it will be retried."""
        self._now_ns = self._clock_ns()
        task = task._replace(reading=tuple(Reading(LOST, reason, "TASK_UNKNOWN", (), 0)))
        self._close(task, lambda path: "TASK_UNKNOWN")

    def begin_round(self) -> None:
        """Have a whole budget of pages again, as when `--wait` asks once more."""
        self._pages_left = PAGES_A_RUN

    def read_on(self, task: Task) -> None:
        """Read the lists of an ended task from where they were left, as far as the run's budget goes."""
        paths = self._listed_paths(task)
        while task.state == READING:
            self._now_ns = self._clock_ns()
            reading = Reading(*task.reading)
            if self._pages_left <= 0:
                self._leave(task, reading)
                return
            self._pages_left -= 1
            try:
                page = self._tasks.page(task.task_id, reading.list_name, reading.marker)
            except Unreachable:
                raise
            except GlobusProblem as problem:
                self._failed(task, reading, problem)
                return
            task = self._credit_page(task, reading, paths, page)

    def _credit_page(self, task: Task, reading: Reading, paths: ListedPaths, page: Page) -> Task:
        """Record a page; returns the task as it is then, ended if that was the last, or if the list makes no progress.

        A list of skipped paths that makes none needs no more: whether all are named is decided by their count.
        """
        before, still_there = reading, dict[str, str]()
        paths.begin_page()
        with self._store.all_or_nothing():
            if reading.list_name == SKIPPED:
                task, reading, still_there = self._credit_skipped(task, reading, paths, page.rows)
            else:
                task, reading = self._credit_listed(task, reading, paths, page.rows)
            is_idle = (reading.listed, reading.errors) == (before.listed, before.errors)
            reading = reading._replace(
                marker=page.marker or "",
                pages=reading.pages + 1,
                idle=reading.idle + 1 if is_idle else 0,
                refused_since_ns=0,
            )
            is_over = page.marker in (None, "", before.marker) or _is_endless(reading)
            if is_over and reading.list_name == SKIPPED:
                reading = reading._replace(list_name=SUCCESSFUL, marker="", pages=0, idle=0)
                is_over = False
            task = task._replace(reading=tuple(reading))
            if is_over:
                task = self._finish(task, reading, is_list_whole=page.marker is None)
            else:
                self._store.put_task(task)
        self._commit()
        self._report_unread(task, still_there)
        return task

    def _credit_skipped(
        self, task: Task, reading: Reading, paths: ListedPaths, rows: list[Row]
    ) -> tuple[Task, Reading, dict[str, str]]:
        failures = {}
        for row in rows:
            rel_path = paths.find(row.source_path, may_be_folder=True) if row.source_path else None
            if rel_path is not None:
                failures[rel_path] = row.code
        tally, errors, still_there = self._result(task).mark_failed(failures)
        return self._count(task, tally), reading._replace(errors=reading.errors + errors), still_there

    def _credit_listed(self, task: Task, reading: Reading, paths: ListedPaths, rows: list[Row]) -> tuple[Task, Reading]:
        listed: dict[str, int | None] = {}
        others: dict[str, set[str]] = {}
        for row in rows:
            rel_path = paths.find(row.source_path) if row.source_path else None
            if rel_path is not None:
                listed[rel_path] = row.size_bytes
            elif other := from_collection(task.src_path, row.source_path or ""):
                folder_path, name = split(other)
                others.setdefault(folder_path, set()).add(name)
        for folder_path, names in others.items():  # a folder item carried them, and nothing recorded them
            recorded = self._store.trie.folder(folder_path).all_names()
            self._store.twins.note(folder_path, recorded | names, swept=names)
        tally, size_bytes = self._result(task).mark_listed(listed, copied_evidence(task))
        reading = reading._replace(
            listed=reading.listed + len(listed),
            listed_bytes=reading.listed_bytes + size_bytes,
            has_sizes=reading.has_sizes and None not in listed.values(),
        )
        return self._count(task, tally), reading

    def _leave(self, task: Task, reading: Reading) -> None:
        """Leave the rest of a list to the next run; what the counts agree about is no longer in flight meanwhile."""
        if not reading.is_counted and agrees(reading):
            with self._store.all_or_nothing():
                task = self._count(task, self._result(task).mark_counted())
                self._store.put_task(task._replace(reading=tuple(reading._replace(is_counted=True))))
        else:
            self._store.put_task(task)
        self._commit()

    def _failed(self, task: Task, reading: Reading, problem: GlobusProblem) -> None:
        """Ask for the page again in a later run, or close the task when it cannot be had for good."""
        is_refused = isinstance(problem, ListRefused)
        since_ns = min(reading.refused_since_ns or self._now_ns, self._now_ns)
        if self._now_ns - since_ns >= (REFUSED_FOR_GOOD_NS if is_refused else FAILING_FOR_GOOD_NS):
            self._close_unlisted(task)
            return
        self._store.put_task(task._replace(reading=tuple(reading._replace(refused_since_ns=since_ns))))
        self._commit()
        if not is_refused:
            raise problem

    def _close_unlisted(self, task: Task) -> None:
        """Close a task whose lists cannot be had: nothing more of it is credited."""
        with self._store.all_or_nothing():
            self._finish(task, Reading(*task.reading), is_list_whole=False)
        self._commit()

    def _close(self, task: Task, decide: Decide) -> None:
        with self._store.all_or_nothing():
            self._archive(task, self._result(task).close(decide))
        self._commit()

    def _finish(self, task: Task, reading: Reading, *, is_list_whole: bool) -> Task:
        """Decide about what no list names; in the same commit as the last page."""
        result = self._result(task)
        tally = Tally() if reading.has_sizes else result.settle_unsized(unsized_fate(task, reading))
        tally += result.close(rest_decider(task, reading, is_list_whole=is_list_whole))
        return self._archive(task, tally, is_list_whole=is_list_whole)

    def _archive(self, task: Task, tally: Tally, *, is_list_whole: bool = True) -> Task:
        task = self._count(task, tally)
        reading = Reading(*task.reading)
        if task.returned or tally.gone:  # what is gone may have been the last thing in its folder
            rescan_later(self._store, (item.rel_path for item in self._store.items(task.number)))
        counts = Counts(*reading.counts)
        reason = reading.reason or (f"{counts.errors} paths skipped" if counts.errors > 0 else "")
        ended = task.ended(
            reading.state,
            now_ns=max(self._now_ns, task.ended_at_ns),
            reason="adopted" if task.is_adopted else reason,
            arrived=task.arrived,
            returned=task.returned,
        )
        self._store.archive(ended)
        self._summary.watch(task.number, None)
        if reading.state == SUCCEEDED:
            self._summary.succeeded += 1
        else:
            self._summary.failed += 1
        self._report(ended, reading, is_list_whole)
        return ended

    def _count(self, task: Task, tally: Tally) -> Task:
        self._summary.delivered = max(0, self._summary.delivered + tally.arrived)
        self._summary.retrying += tally.returned
        return task._replace(arrived=task.arrived + tally.arrived, returned=task.returned + tally.returned)

    def _report(self, task: Task, reading: Reading, is_list_whole: bool) -> None:
        if reading.state == LOST:
            self._summary.notice(
                TASK_LOST,
                task.task_id,
                f"{task.title} is no longer known to Globus ({reading.reason}). Its "
                f"{counted(task.files, 'path')} will be retried.",
            )
        elif reading.state != SUCCEEDED:
            self._summary.notice(
                TASK_ENDED,
                task.task_id,
                f"{task.title} ended {reading.state} ({reading.reason}): {task.arrived} of "
                f"{counted(task.files, 'path')} delivered; the rest will be retried. Its events: "
                f"{WEB_APP}/{task.task_id}/event_log{faults.remedy(reading.code)}",
                cause=f"{reading.state} {reading.code}",
            )
        elif not is_list_whole and task.returned:
            self._summary.notice(
                TASK_INCOMPLETE,
                task.task_id,
                f"{task.title} ended, and Globus no longer lists what it transferred. Its "
                f"{counted(task.returned, 'path')} will be retried, compared by checksum.",
            )
        elif not task.is_adopted and reading.errors < (skipped := Counts(*reading.counts).errors):
            self._summary.notice(
                TASK_INCOMPLETE,
                task.task_id,
                f"{task.title} did not send {counted(skipped, 'path')}, and Globus no longer says which. Its "
                f"{counted(task.returned, 'path')} will be retried, compared by checksum.",
            )

    def _report_unread(self, task: Task, paths: dict[str, str]) -> None:
        for rel_path, code in paths.items():
            path = display(rel_path)
            self._summary.notice(
                PATH_UNREAD,
                rel_path,
                f"{task.title} did not send {path}: Globus could not read it ({code}). "
                f"{REMEDIES.get(code, FIX_PERMISSIONS)} It will be retried with growing delays, or at once after "
                f"`{self._set_time_command(rel_path)}`.",
                cause=code,
            )

    def _result(self, task: Task) -> TaskResult:
        return TaskResult(
            self._store.trie,
            task.number,
            self._store.items(task.number),
            now_ns=self._now_ns,
            recheck=self._recheck,
            ended_at_ns=task.ended_at_ns,
        )

    def _listed_paths(self, task: Task) -> ListedPaths:
        result = self._result(task)
        return ListedPaths(task.src_path, names_in=result.names_in, is_there=result.is_there)


def _is_endless(reading: Reading) -> bool:
    return reading.idle >= MOST_IDLE or reading.pages >= MOST_PAGES
