"""One run: reconcile open tasks -> scan, compare, plan -> submit -> (wait) -> summary.

A run that has nothing to send and no open task opens no socket and does not import globus_sdk: the modules that talk to
Globus are imported when they are needed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from autotransfer.common.errors import ConfigurationProblem, OutcomeUnknown, Problem, SignInNeeded
from autotransfer.common.files import what_to_do
from autotransfer.common.paths import display, on_collection
from autotransfer.common.settings import Settings
from autotransfer.common.summary import DATASTORE_RESTORED, JOURNAL_UNUSED, SUMMARY_UNWRITTEN, Summary
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore.opening import restored_text
from autotransfer.datastore.store import EMPTY_IS_MEANT, ITEM_LIMIT, LAST_RUN, MOUNTS, RESET, Store
from autotransfer.datastore.tasks import PREPARED, READING, Task
from autotransfer.plan import restored
from autotransfer.plan.own_places import refuse_own_files_inside
from autotransfer.plan.planner import Plan
from autotransfer.plan.source_check import check_root, source_policy
from autotransfer.scan.folders import PathReader, open_root
from autotransfer.scan.listing import policy

if TYPE_CHECKING:
    from autotransfer.globus.login import Login
    from autotransfer.globus.tasks import Tasks
    from autotransfer.scan.pool import Pool
    from autotransfer.scan.scanner import Pace
    from autotransfer.transfer.reconcile import Reconciler
    from autotransfer.transfer.submit import Submitter
    from autotransfer.transfer.twin_names import TwinNames

LOGIN_UNUSED_NS = 30 * DAY * NS_PER_SECOND
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.5, 15.0

# The start, duration and status of that many runs are kept: they show how often to expect a run.
RUNS_KEPT = 20


class Watcher:
    """Is notified of the progress of a run. Every method may do nothing.

    Attributes:
        wants_changes: Whether to call `change` for each path, which takes time when there are millions.
    """

    wants_changes = True

    def change(self, rel_path: str, why: str, size_bytes: int) -> None:
        """A path will be sent."""

    def expects(self, files: int) -> None:
        """The scan begins; `files` is the number in the last one, 0 if that is not known."""

    def scanning(self, folders: int, files: int) -> None:
        """That many folders and files have been scanned."""

    def submitted(self, task: Task) -> None:
        """Globus has accepted a task."""

    def waiting(self, done_bytes: int, total_bytes: int, open_tasks: int) -> None:
        """Open tasks have made progress."""

    def remark(self, text: str) -> None:
        """Something that concerns only a watcher."""


class Run:
    """One run of one route. The caller holds the run lock.

    Args:
        settings: The route.
        store: Its datastore, open.
        watcher: Is notified of its progress.
        is_dry: Whether to change nothing, here and at Globus.
        is_full: Whether to list everything, whatever SCAN says.
        names: What a change feed names; only that is checked. None: there is no feed.
        listed_at_ns: When that list was made.
        is_trusted_again: Whether folder times, or a feed, that were found blind are used again.
        choose: Returns the pool that helps with the scan, when its pace does not decide.
        clock_ns, pause: The clock, and how to wait.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        watcher: Watcher,
        *,
        is_dry: bool = False,
        is_full: bool = False,
        names: Sequence[str] | None = None,
        listed_at_ns: int = 0,
        is_trusted_again: bool = False,
        choose: Callable[[Pace], Pool | None] | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._store = store
        self._watcher = watcher
        self._is_dry = is_dry
        self._is_full = is_full
        self._names = names
        self._listed_at_ns = listed_at_ns
        self._is_trusted_again = is_trusted_again
        self._choose = choose
        self._clock_ns = clock_ns
        self._pause = pause
        self._login: Login | None = None
        self._restored = ""
        self._stack = ExitStack()
        self.summary = Summary(started_at_ns=clock_ns(), service=settings.service.name)

    def perform(self, *, wait_seconds: float | None = None) -> Summary:
        """Do the run; returns its summary, which is also in `summary` if a Problem ends the run early.

        Args:
            wait_seconds: How long to wait for the open tasks to end; None: not at all.

        Raises:
            ConfigurationProblem, SignInNeeded, GlobusProblem: What was committed before remains.
        """
        try:
            with self._stack, self._store.explained():
                self._perform(wait_seconds)
        except Problem as problem:
            self._close(problem)
            raise
        self._close(None)
        return self.summary

    def _perform(self, wait_seconds: float | None) -> None:
        root_fd = open_root(self._settings.src_dir)
        self._stack.callback(os.close, root_fd)
        refuse_own_files_inside(self._settings)
        self._store.refuse_other_service(self._settings.service)
        self._store.claim(self._settings.route, self._settings.service)
        check_root(self._settings, self._store, root_fd)
        wanted = source_policy(self._settings, self._store.trie, self._store.shelf.get(MOUNTS), root_fd)
        path_reader = PathReader(root_fd, follow_links=wanted.follow_links, why_missing=wanted.why_missing)
        self._stack.callback(path_reader.close)
        self._restored = restored_text(self._store)
        restored.compare_anew(self._settings, self._store, root_fd, clock_ns=self._clock_ns)
        self._reconcile(path_reader)
        if not self._is_dry:
            self._twin_names().settle()
        self._plan_and_submit(root_fd)
        if wait_seconds is not None and not self._is_dry:
            self._wait(path_reader, wait_seconds)
            self._twin_names().settle()
        self._twin_names().report()
        if not self._is_dry:
            self._keep_login()

    def _keep_login(self) -> None:
        """Use the login if no run has for a month: a person's expires when it is not used for six.

        Raises:
            SignInNeeded: It has expired, although nothing needs it yet.
        """
        used_at_ns = (self._store.shelf.get(LAST_RUN) or {}).get("login_used_at_ns")
        if self._login is not None or used_at_ns is None or 0 <= self._clock_ns() - used_at_ns < LOGIN_UNUSED_NS:
            return
        try:
            self._signed_in().prove()
        except (SignInNeeded, ConfigurationProblem):
            raise
        except Problem as problem:  # a later run tries again
            self._login = None
            self._watcher.remark(f"The login, which was not used for a month, was not used now either: {problem}")

    def _reconcile(self, path_reader: PathReader) -> None:
        if not self._store.ledger.open:
            return
        if self._is_dry:
            try:
                self._reconciler(path_reader).reconcile_all()
            except Problem as problem:
                self._watcher.remark(f"Open tasks are shown as recorded, because Globus could not be asked: {problem}")
            return
        reconciler = self._reconciler(path_reader)
        unanswered: OutcomeUnknown | None = None
        if any(task.state == PREPARED for task in self._store.ledger.open.values()):
            try:
                self._submitter().post_all(is_again=True)
            except OutcomeUnknown as problem:  # the other tasks can still be reconciled
                unanswered = problem
        reconciler.reconcile_all()
        if unanswered is not None:
            raise unanswered

    def _twin_names(self) -> TwinNames:
        from autotransfer.transfer.twin_names import TwinNames

        return TwinNames(
            self._store,
            self.summary,
            list_names=self._list_destination,
            clock_ns=self._clock_ns,
            commit=self._store.commit,
        )

    def _list_destination(self, rel_path: str, most: int) -> list[str] | None:
        from autotransfer.globus.collections import Collections

        path = on_collection(self._settings.dst_dir, rel_path, is_folder=True)
        return Collections(self._signed_in().transfer).names(self._settings.dst_id, path, most=most)

    def _plan_and_submit(self, root_fd: int) -> None:
        open_tasks = self._store.ledger.at_globus
        last = self._store.shelf.get(LAST_RUN) or {}
        self._watcher.expects(last.get("tree_files") or last.get("files") or 0)
        plan = Plan(
            self._settings,
            self._store,
            root_fd,
            self.summary,
            max_items=min(self._settings.max_items_per_task, self._store.shelf.get(ITEM_LIMIT) or 1 << 62),
            max_tasks=self._settings.max_tasks_in_flight - len(open_tasks),
            max_failed_tasks=max(1, self._settings.max_tasks_in_flight // 2)
            - sum(task.has_failed for task in open_tasks),
            clock_ns=self._clock_ns,
            is_full=self._is_full,
            on_change=self._watcher.change if self._watcher.wants_changes else None,
            on_progress=self._watcher.scanning,
            on_remark=self._watcher.remark,
            choose=self._choose,
            names=self._names,
            listed_at_ns=self._listed_at_ns,
            is_trusted_again=self._is_trusted_again,
        )
        prepared = plan.make()
        for number, name in plan.outside:
            self._watcher.remark(f"Skipped name {number}, which is not inside SRC_DIR: {display(name)}")
        if self._is_dry:
            return
        self._store.shelf.pop(RESET, None)
        if self.summary.files or self.summary.folders > 1:
            self._store.shelf.pop(EMPTY_IS_MEANT, None)
        if not prepared:
            self._store.commit()
            return
        is_first = any(batch.number == 1 for batch in prepared) and any(batch.has_folders for batch in prepared)
        may_verify = self._check_ends(root_fd, plan.own_copies.found, is_first=is_first)
        submitter = self._submitter()
        submitter.prepare(prepared, verifies=self._settings.verify_checksum and may_verify)
        submitter.post_all()

    def _wait(self, path_reader: PathReader, wait_seconds: float) -> None:
        waited_for = {task.number: task.size_bytes for task in self._store.ledger.open.values()}
        reconciler = self._reconciler(path_reader) if waited_for else None
        until_ns = self._clock_ns() + int(wait_seconds * NS_PER_SECOND)
        poll_seconds = FIRST_POLL_SECONDS
        while reconciler is not None:
            under_way = reconciler.reconcile_all()
            self._show_waiting(waited_for, under_way)
            left_seconds = (until_ns - self._clock_ns()) / NS_PER_SECOND
            if not self._store.ledger.open:
                return
            if left_seconds <= 0:
                self.summary.is_wait_over = True
                return
            self._pause(min(poll_seconds, left_seconds))
            poll_seconds = min(poll_seconds * 1.5, LONGEST_POLL_SECONDS)

    def _show_waiting(self, waited_for: dict[int, int], under_way: list[dict[str, Any]]) -> None:
        open_tasks = self._store.ledger.open
        moved_bytes = {document["task_id"]: document.get("bytes_transferred") or 0 for document in under_way}
        done_bytes = 0
        for number, size_bytes in waited_for.items():
            task = open_tasks.get(number)
            done_bytes += size_bytes if task is None else min(size_bytes, moved_bytes.get(task.task_id, 0))
        self._watcher.waiting(done_bytes, sum(waited_for.values()), len(open_tasks))

    def _check_ends(self, root_fd: int, suspects: list[str], *, is_first: bool) -> bool:
        """Make sure that both collections are ready, and apart; returns whether both let transfers verify checksums."""
        from autotransfer.globus.collections import Collections, ready_ends
        from autotransfer.transfer.own_copies import refuse_own_copies, refuse_to_begin_inside

        ends = ready_ends(self._signed_in(), self._settings)
        folders = Collections(self._signed_in().transfer)
        if is_first:
            excludes = policy(self._settings).excludes()
            refuse_to_begin_inside(self._settings, self._store, root_fd, folders, excludes=excludes)
        refuse_own_copies(self._settings, self._store, root_fd, folders, suspects)
        return all(end.may_verify for end in ends)

    def _signed_in(self) -> Login:
        if self._login is None:
            from autotransfer.globus.login import Login

            self._login = self._stack.enter_context(Login(self._settings))
            self._login.must_hold()
        return self._login

    def _tasks(self) -> Tasks:
        from autotransfer.globus.tasks import Tasks

        return Tasks(self._signed_in().transfer)

    def _reconciler(self, path_reader: PathReader) -> Reconciler:
        from autotransfer.transfer.reconcile import Reconciler

        return Reconciler(
            self._store,
            self._tasks(),
            self.summary,
            recheck=path_reader,
            set_time_command=self._settings.set_time_command,
            stuck_hours=self._settings.stuck_hours,
            clock_ns=self._clock_ns,
            commit=(lambda: None) if self._is_dry else self._store.commit,
            may_act=not self._is_dry,
        )

    def _submitter(self) -> Submitter:
        from autotransfer.transfer.submit import Submitter

        return Submitter(
            self._settings,
            self._store,
            self._tasks(),
            self.summary,
            clock_ns=self._clock_ns,
            on_submitted=self._watcher.submitted,
        )

    def _name_restore(self) -> None:
        """Say what a restore left behind, until what may have been sent since has been compared."""
        is_trouble = not self._is_dry  # who asks what would be done is shown it, and nothing is wrong
        if self._store.unused_journal:
            self.summary.notice(
                JOURNAL_UNUSED,
                "",
                "The journal beside the datastore was not its own, as after a restore. It was not used, and is now "
                f"{self._store.unused_journal}.",
                is_trouble=is_trouble,
            )
        if restored.is_being_compared(self._store) or self._restored:
            self.summary.notice(
                DATASTORE_RESTORED,
                "",
                f"{self._restored or 'The datastore was restored or replaced.'} {restored.REMEDY}",
                is_trouble=is_trouble,
            )

    def _close(self, problem: Problem | None) -> None:
        """Complete the summary and store it; what the run has not committed is dropped."""
        seconds = (self._clock_ns() - self.summary.started_at_ns) / NS_PER_SECOND
        try:
            self._store.rollback()
            open_tasks = list(self._store.ledger.open.values())
            self._name_restore()
        except Exception:  # noqa: BLE001 - a damaged datastore must not hide the problem that ended the run
            open_tasks = []
        self.summary.close(
            seconds=seconds,
            in_flight_tasks=len(open_tasks),
            failing_in_flight=sum(task.failing for task in open_tasks if task.state != READING),
        )
        if self._is_dry:
            return
        # Only now: what keeps open tasks from getting on has become a notice when the summary was closed.
        status = int(problem.exit_status if problem else self.summary.exit_status)
        outcome: dict[str, Any] = {"status": status, "problem": str(problem or "")}
        outcome["notices_about"] = [
            (notice.kind, display(notice.subject), display(notice.cause)) for notice in self.summary.notices
        ]
        try:
            last = self._store.shelf.get(LAST_RUN) or {}
            if problem is None and not self.summary.waiting:
                restored.all_is_planned(self._store)
            if self.summary.scan == "paths":  # the last scan has the size of the tree
                outcome["tree_files"] = last.get("tree_files") or last.get("files") or 0
            is_full = self.summary.scan == "full" and problem is None
            outcome["full_scan_at_ns"] = self.summary.started_at_ns if is_full else last.get("full_scan_at_ns", 0)
            # Where it is not known when the login was used, the month begins now.
            has_used_login = self._login is not None and not isinstance(problem, SignInNeeded)
            is_known = not has_used_login and "login_used_at_ns" in last
            outcome["login_used_at_ns"] = last["login_used_at_ns"] if is_known else self.summary.started_at_ns
            self._store.shelf[LAST_RUN] = {**self.summary.as_builtins(), **outcome}
            runs = [*(self._store.shelf.get("RUNS") or ()), (self.summary.started_at_ns, self.summary.seconds, status)]
            self._store.shelf["RUNS"] = runs[-RUNS_KEPT:]
            self._store.commit()
        except Exception as error:  # noqa: BLE001 - a summary that cannot be stored must not hide the outcome of the run
            why = getattr(error, "why", str(error))
            if problem is not None and why == problem.why:
                return  # the same cause ended the run, and is reported
            self.summary.notice(
                SUMMARY_UNWRITTEN,
                "",
                f"The summary of this run could not be stored: {why}. {what_to_do(self._store.path)} What was recorded "
                "before is unharmed.",
                cause=why,
            )
