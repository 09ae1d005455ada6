"""Submits batches in three steps, each committed: prepare, post, acknowledge.

Wherever a run is interrupted, a batch becomes exactly one task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from autotransfer.common.errors import (
    GlobusProblem,
    IdenticalPaths,
    OutcomeUnknown,
    Problem,
    RequestRefused,
    RequestTooLarge,
    SignInNeeded,
)
from autotransfer.common.paths import display
from autotransfer.common.settings import Settings
from autotransfer.common.summary import PATH_REFUSED, TASK_ADOPTED, Summary
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore import tasks
from autotransfer.datastore.store import ITEM_LIMIT, Store
from autotransfer.datastore.tasks import Item, Task
from autotransfer.globus.documents import as_plain, submission, transfer_data
from autotransfer.globus.failures import NEXT_RUN
from autotransfer.globus.tasks import Tasks
from autotransfer.plan.batches import Batch
from autotransfer.plan.in_flight import renumber
from autotransfer.plan.rescan import rescan_later
from autotransfer.transfer.results import TaskResult
from autotransfer.transfer.task_status import label_for

# How long a task may stay prepared while no POST of it is answered with an outcome.
LONGEST_DOUBT_NS = DAY * NS_PER_SECOND
# After this many paths in a row were refused, each by itself, the refusal is not about a path: the rest waits.
MOST_REFUSED_IN_A_ROW = 3
# How many ended tasks are checked for having used a submission_id.
RECENT_TASKS = 100
NOTHING_RECORDED = "None of it was transferred or recorded."
NOTHING_LOST = "None of it is lost: a later run will send it."
KEPT = "It is recorded; the next run will submit it again with the same submission_id, so it cannot run twice."


class Submitter:
    """Turns batches into tasks.

    Args:
        store: Committed after each step.
        on_submitted: Called with each task that Globus has accepted.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        tasks: Tasks,
        summary: Summary,
        *,
        clock_ns: Callable[[], int],
        on_submitted: Callable[[Task], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._tasks = tasks
        self._summary = summary
        self._clock_ns = clock_ns
        self._on_submitted = on_submitted

    def prepare(self, batches: list[Batch], *, verifies: bool) -> None:
        """Step 1: commit what each task carries, and the submission_id with which it will be posted.

        Raises:
            SignInNeeded, GlobusProblem: There was no submission_id; nothing was committed.
        """
        for batch in batches:
            now_ns = self._clock_ns()
            submission_id = self._fresh_id()
            label = label_for(self._settings.label, batch.number, submission_id, now_ns=now_ns)
            level = batch.sync_level
            document = transfer_data(
                self._settings, sync_level=level, label=label, now_ns=now_ns, has_folders=batch.has_folders
            )
            task = Task(
                number=batch.number,
                submission_id=submission_id,
                label=label,
                sync_level=level,
                document=as_plain(document),
                src_path=self._settings.src_path,
                dst_dir=self._settings.dst_dir,
                files=batch.files,
                size_bytes=batch.size_bytes,
                items=batch.items,
                prepared_at_ns=now_ns,
                has_failed=batch.has_failed,
                failing=batch.failing,
                verifies=verifies,
            )
            self._store.put_task(task)
        self._store.commit()

    def _fresh_id(self) -> str:
        """A submission_id that no task of ours has: one from a cache would make Globus drop a task as a duplicate."""
        submission_id = self._tasks.submission_id()
        if any(task.submission_id == submission_id for task in self._known()):
            raise GlobusProblem(
                "Globus gave the submission_id of an earlier task",
                why=f"it is {submission_id}",
                remedy=f"If a proxy answers in the place of Globus, it must not cache. {NOTHING_RECORDED} {NEXT_RUN}",
            )
        return submission_id

    def _known(self) -> list[Task]:
        """The open tasks, and the last that have ended."""
        recent = [task for task in self._store.history(limit=RECENT_TASKS) if isinstance(task, Task)]
        return [*self._store.ledger.open.values(), *recent]

    def post_all(self, *, is_again: bool = False) -> None:
        """Steps 2 and 3: post every prepared task, oldest first, and commit its task_id.

        Args:
            is_again: Whether an earlier run prepared them, so that they may have been accepted already.

        Raises:
            OutcomeUnknown: An answer was lost; this task and those after it stay prepared.
            SignInNeeded, ConfigurationProblem, GlobusProblem: Globus refused one, and not for what is in it. It is
                withdrawn, and so are those after it if this run prepared them: the next run finds their paths again.
                But a task of an earlier run stays prepared if the refusal is about the login.
        """
        todo = sorted(number for number, task in self._store.ledger.open.items() if task.state == tasks.PREPARED)
        refused_in_a_row = 0
        while todo:
            task = self._store.ledger.open[todo.pop(0)]
            try:
                self._post(task, is_again=is_again)
                refused_in_a_row = 0
            except IdenticalPaths as problem:
                self._adopt(task, problem)
            except Problem as problem:
                if self._stays_prepared(task, problem, is_again=is_again):
                    raise
                if is_again and self._recognize(task):
                    continue
                if isinstance(problem, RequestTooLarge) or (isinstance(problem, RequestRefused) and not is_again):
                    parts = self._halve(task, problem)
                    refused_in_a_row += not parts
                    todo[:0] = parts
                    if refused_in_a_row < MOST_REFUSED_IN_A_ROW or not todo:
                        continue
                    self._withdraw(todo)
                    raise
                # A task of an earlier run may be refused because its document is out of date.
                says_nothing_of_others = isinstance(problem, (OutcomeUnknown, RequestRefused))
                self._withdraw([task.number] if is_again or says_nothing_of_others else [task.number, *todo])
                if not says_nothing_of_others:
                    raise

    def _stays_prepared(self, task: Task, problem: Problem, *, is_again: bool) -> bool:
        """Whether Globus may have accepted the task, so that it must be posted again with the same submission_id."""
        if isinstance(problem, OutcomeUnknown):
            # A task that is never answered must not block the route for ever.
            return not is_again or self._clock_ns() - task.prepared_at_ns < LONGEST_DOUBT_NS
        # Globus refuses a login before it reads the submission_id: an earlier acceptance may stand.
        return is_again and isinstance(problem, SignInNeeded)

    def _post(self, task: Task, *, is_again: bool) -> None:
        data = submission(
            task.document,
            ((item.rel_path, item.is_folder) for item in self._store.items(task.number)),
            submission_id=task.submission_id,
            src_path=task.src_path,
            dst_dir=task.dst_dir,
        )
        refused_effect = NOTHING_LOST if is_again else NOTHING_RECORDED
        task_id = self._tasks.submit(data, effect=KEPT, refused_effect=refused_effect)
        if any(known.task_id == task_id for known in self._known()):
            raise OutcomeUnknown(
                f"Globus accepted task {task.label!r} with the task_id of an earlier task",
                why=f"it is {task_id}",
                remedy=f"If a proxy answers in the place of Globus, it must not cache. {KEPT}",
            )
        accepted = task.accepted(task_id, now_ns=self._clock_ns())
        self._store.put_task(accepted)
        self._store.commit()
        self._summary.count_submitted(task_id, items=task.items, files=task.files, size_bytes=task.size_bytes)
        self._on_submitted(accepted)

    def _recognize(self, task: Task) -> bool:
        """Find the task by its label, which is used once: if Globus has it, it was accepted and the answer lost."""
        document = self._tasks.find_by_label(task.label)
        if document is None:
            return False
        self._store.put_task(task.accepted(str(document["task_id"]), now_ns=self._clock_ns()))
        self._store.commit()
        return True

    def _adopt(self, task: Task, problem: IdenticalPaths) -> None:
        """Follow the open task that carries these paths; when it has ended, they are retried by checksum."""
        if self._recognize(task):
            return
        known = {other.task_id for other in self._store.ledger.open.values()}
        ends = (task.document["source_endpoint"], task.document["destination_endpoint"])
        candidates = [
            document
            for document in self._tasks.open_tasks()
            if (document.get("source_endpoint_id"), document.get("destination_endpoint_id")) == ends
            and document.get("task_id") not in known
        ]
        ours = [one for one in candidates if str(one.get("label") or "").startswith(self._settings.label + " ")]
        found = next(iter(ours or candidates), None)
        if found is None:
            self._refuse(task, problem, "No such task was found.")
        self._store.put_task(task.accepted(str(found["task_id"]), now_ns=self._clock_ns(), is_adopted=True))
        self._store.commit()
        self._summary.notice(
            TASK_ADOPTED,
            str(found["task_id"]),
            f"Globus already has an open task with the paths of {task.label!r}: {found['task_id']}, which this "
            "datastore has no record of. When it has ended, these paths will be compared by checksum.",
        )

    def _halve(self, task: Task, problem: GlobusProblem) -> list[int]:
        """Split a refused task in two, or set its only item aside.

        Returns:
            The numbers of the parts: none of a single item, one if no more tasks may be open.
        """
        items = self._store.items(task.number)
        if len(items) <= 1:
            self._set_aside(task, items, problem)
            return []
        middle = (len(items) + 1) // 2
        numbers = [self._part(task, task.number, items[:middle])]
        if len(self._store.ledger.at_globus) < self._settings.max_tasks_in_flight:
            second_number = self._store.ledger.next_number
            renumber(self._store.trie, items[middle:], task.number, second_number)
            numbers.append(self._part(task, second_number, items[middle:]))
        else:  # MAX_TASKS_IN_FLIGHT is reached: these wait for the next run
            self._give_up(task.number, items[middle:])
            self._summary.waiting += sum(item.files for item in items[middle:])
        if isinstance(problem, RequestTooLarge):
            self._store.shelf[ITEM_LIMIT] = middle
        self._store.commit()
        return numbers

    def _set_aside(self, task: Task, items: list[Item], problem: GlobusProblem) -> None:
        """Have the only path of a refused task retried with growing pauses."""
        tally = TaskResult(self._store.trie, task.number, items, now_ns=self._clock_ns(), recheck=_not_looked_at).close(
            lambda path: "REQUEST_REFUSED"
        )
        rescan_later(self._store, (item.rel_path for item in items))
        self._store.drop(task.number)
        self._store.commit()
        self._summary.retrying += tally.returned
        for item in items:
            path = display(item.rel_path)
            self._summary.notice(
                PATH_REFUSED,
                item.rel_path,
                f"Globus accepts no task with {path}: {problem.why}. It was not sent. It will be retried with growing "
                f"delays, or at once after `{self._settings.set_time_command(item.rel_path)}`.",
                cause=problem.code,
            )

    def _part(self, task: Task, number: int, items: list[Item]) -> int:
        # A refused submission_id is not used again with another document.
        submission_id = self._fresh_id()
        label = label_for(self._settings.label, number, submission_id, now_ns=task.prepared_at_ns)
        part = task._replace(
            number=number,
            submission_id=submission_id,
            label=label,
            document={**task.document, "label": label},
            items=len(items),
            files=sum(item.files for item in items),
            size_bytes=sum(item.size_bytes for item in items),
        )
        self._store.put_items(number, items)
        self._store.put_task(part)
        return number

    def _refuse(self, task: Task, problem: Problem, finding: str) -> NoReturn:
        self._withdraw([task.number])
        remedy = f"{finding} {NOTHING_RECORDED} {NEXT_RUN}"
        raise GlobusProblem(problem.what, why=problem.why, code=problem.code, remedy=remedy)

    def _withdraw(self, numbers: list[int]) -> None:
        for number in numbers:
            self._give_up(number, self._store.items(number))
            self._store.drop(number)
        self._store.commit()

    def _give_up(self, number: int, items: list[Item]) -> None:
        TaskResult(self._store.trie, number, items, now_ns=0, recheck=lambda folder, name: None).withdraw()
        rescan_later(self._store, (item.rel_path for item in items))


def _not_looked_at(folder_path: str, name: str) -> NoReturn:
    raise OSError("Globus has not had it, so what it is now does not matter")
