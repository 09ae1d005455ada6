"""What Globus says of an open task, and what is recorded of it: the near side of each limit, and every number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import pytest
from tasks_in_memory import TasksInMemory

from autotransfer.common.errors import GlobusProblem, SignInNeeded, TaskUnknown, Unreachable
from autotransfer.common.summary import TASK_CANCELED, TASK_ENDED, TASK_LOST, TASK_STALLED, Summary
from autotransfer.common.times import HOUR, NS_PER_SECOND
from autotransfer.datastore.record import LAG_UNKNOWN, Fingerprint, InFlight
from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.datastore.tasks import CANCELED, FAILED, LOST, PREPARED, READING, SUBMITTED, SUCCEEDED, Item, Task
from autotransfer.transfer.reconcile import FIRST_SHOWN_NS, UNSEEN, Reconciler

START_NS = 1_700_000_000 * NS_PER_SECOND
STUCK_HOURS = 24
STUCK_NS = STUCK_HOURS * HOUR * NS_PER_SECOND
ACTIVE = {"status": "ACTIVE", "nice_status": "OK"}
STALLED = {"status": "ACTIVE", "nice_status": "PERMISSION_DENIED", "is_ok": False, "faults": 3}
UNKNOWN = TaskUnknown("Globus did not show it", why="404 NotFound", code="show task {}: HTTP 404")


class Reconciling:
    """A reconciler with a clock of its own; every file is as it was when it was sent."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self.globus = TasksInMemory()
        self.store = Store(IN_MEMORY)
        self.commits = 0
        self.begin_run()

    def begin_run(self, *, may_act: bool = True) -> None:
        self.summary = Summary(started_at_ns=self.now_ns)
        self.reconciler = Reconciler(
            self.store,
            self.globus.as_tasks,
            self.summary,
            recheck=self.recheck,
            set_time_command=lambda path: f"set_time.py never {path}",
            stuck_hours=STUCK_HOURS,
            clock_ns=lambda: self.now_ns,
            commit=self.commit,
            **({} if may_act else {"may_act": False}),
        )

    def commit(self) -> None:
        self.commits += 1
        self.store.commit()

    def recheck(self, folder_path: str, name: str) -> Optional[tuple[Fingerprint, int]]:
        return (1, 10), 0

    def submit(self, name: str, **fields: Any) -> Task:
        """Have a task under way with one file of 10 bytes."""
        number = self.store.ledger.next_number
        folder = self.store.trie.folder("")
        folder.in_flight[name] = InFlight(1, 10, number, 0)
        self.store.trie.put("", folder)
        self.store.put_items(number, [Item("", name, 1, 10)])
        prepared = Task(number, f"sub {number}", f"label {number}", "mtime", {}, "/s", "/d", 1, 10, 1, START_NS)
        task = prepared.accepted(f"task-{number}", now_ns=START_NS)._replace(verifies=True, **fields)
        self.store.put_task(task)
        return task

    def run(self, **options: Any) -> list[dict[str, Any]]:
        """A run; what it does not commit is lost."""
        self.store.commit()
        self.begin_run(**options)
        under_way = self.reconciler.reconcile_all()
        self.store.rollback()
        return under_way

    @property
    def notices(self) -> list[tuple[str, str, str]]:
        """All notices of the run at its end."""
        self.summary.close(seconds=1, in_flight_tasks=0)
        return [(notice.kind, notice.subject, notice.cause) for notice in self.summary.notices]


@pytest.fixture
def reconciling() -> Iterator[Reconciling]:
    made = Reconciling()
    with made.store:
        yield made


def test_a_prepared_task_is_not_asked_for(reconciling: Reconciling) -> None:
    task = reconciling.submit("a", state=PREPARED, task_id="")
    reconciling.globus.documents[""] = dict(ACTIVE)

    assert reconciling.run() == []
    assert reconciling.store.ledger.open == {1: task}
    assert (reconciling.notices, reconciling.commits) == ([], 0)


def test_what_is_under_way_is_returned_and_committed_only_where_it_moved(reconciling: Reconciling) -> None:
    task = reconciling.submit("a")
    reconciling.globus.documents["task-1"] = {**ACTIVE, "bytes_transferred": 7, "files_transferred": 1}
    reconciling.now_ns += 60 * NS_PER_SECOND

    assert [document["task_id"] for document in reconciling.run()] == ["task-1"]
    moved = reconciling.store.ledger.open[1]
    assert (moved.progress[:2], moved.progress_at_ns) == ((7, 1), reconciling.now_ns)
    assert moved == task._replace(progress=moved.progress, progress_at_ns=reconciling.now_ns)
    assert reconciling.commits == 1

    reconciling.now_ns += 60 * NS_PER_SECOND
    assert len(reconciling.run()) == 1
    assert (reconciling.store.ledger.open[1], reconciling.commits) == (moved, 1)


def test_progress_recorded_in_the_future_is_taken_for_now(reconciling: Reconciling) -> None:
    reconciling.submit("a", progress_at_ns=START_NS + STUCK_NS)
    reconciling.globus.documents["task-1"] = dict(STALLED)
    reconciling.run()
    first = reconciling.store.ledger.open[1].progress_at_ns
    reconciling.now_ns += 5
    reconciling.run()

    assert (first, reconciling.store.ledger.open[1].progress_at_ns) == (START_NS, START_NS)


def test_a_stalled_task_is_reported_with_its_trouble(reconciling: Reconciling) -> None:
    reconciling.submit("a")
    reconciling.globus.documents["task-1"] = dict(STALLED)

    assert len(reconciling.run()) == 1
    assert "PERMISSION_DENIED" in reconciling.store.ledger.open[1].trouble
    assert reconciling.notices == [(TASK_STALLED, "task-1", "PERMISSION_DENIED")]
    reconciling.globus.documents["task-1"] = dict(ACTIVE)
    reconciling.run()
    assert reconciling.store.ledger.open[1].trouble == ""
    assert reconciling.notices == []


@pytest.mark.parametrize(
    ("age_ns", "document", "fields", "may_act", "is_canceled"),
    [
        (STUCK_NS, STALLED, {}, True, True),
        (STUCK_NS - 1, STALLED, {}, True, False),
        (STUCK_NS, ACTIVE, {}, True, False),
        (STUCK_NS, STALLED, {"is_adopted": True}, True, False),
        (STUCK_NS, STALLED, {}, False, False),
        (STUCK_NS, {**STALLED, "is_paused": True}, {}, True, False),
    ],
)
def test_only_a_task_of_ours_that_is_stuck_for_long_enough_is_canceled(
    reconciling: Reconciling,
    age_ns: int,
    document: dict[str, Any],
    fields: dict[str, Any],
    may_act: bool,
    is_canceled: bool,
) -> None:
    reconciling.submit("a")
    reconciling.globus.documents["task-1"] = dict(document)
    reconciling.run()
    reconciling.store.put_task(reconciling.store.ledger.open[1]._replace(**fields))
    reconciling.now_ns += age_ns
    reconciling.run(may_act=may_act)

    assert reconciling.globus.canceled == (["task-1"] if is_canceled else [])
    assert reconciling.store.ledger.open[1].is_canceling == is_canceled
    kinds = [(kind, subject, cause) for kind, subject, cause in reconciling.notices if kind == TASK_CANCELED]
    assert kinds == ([(TASK_CANCELED, "task-1", "PERMISSION_DENIED")] if is_canceled else [])


def test_one_task_that_cannot_be_shown_delays_no_other(reconciling: Reconciling) -> None:
    for name in "abcd":
        reconciling.submit(name)
    reconciling.globus.documents = {
        "task-2": dict(ACTIVE),
        "task-1": GlobusProblem("it failed", code="odd"),
        "task-3": {"status": "ACTIVE", "nice_status": 5},
        "task-4": {"status": "SUCCEEDED"},
    }
    reconciling.globus.pages = [ValueError("a row")]

    assert [document["task_id"] for document in reconciling.run()] == ["task-2"]
    assert [subject for _, subject, _ in reconciling.notices] == ["task-1", "task-3", "task-4"]


def test_a_task_that_ends_as_it_is_canceled_is_closed_in_the_same_run(reconciling: Reconciling) -> None:
    reconciling.submit("a")
    reconciling.globus.documents["task-1"] = dict(STALLED)
    reconciling.run()
    reconciling.now_ns += STUCK_NS
    fatal_error = {"code": "CANCELED", "description": ""}
    reconciling.globus.after_cancel = {"status": "FAILED", "fatal_error": fatal_error, "history_deleted": True}

    assert reconciling.run() == []
    (ended,) = reconciling.store.history()
    assert isinstance(ended, Task)
    assert (ended.state, ended.is_canceling) == (CANCELED, True)
    assert [kind for kind, _, _ in reconciling.notices] == [TASK_CANCELED, TASK_ENDED]


def test_a_task_that_stalled_and_goes_on_within_one_run_is_no_finding(reconciling: Reconciling) -> None:
    reconciling.submit("a")
    reconciling.globus.documents["task-1"] = dict(STALLED)
    reconciling.run()
    reconciling.globus.documents["task-1"] = dict(ACTIVE)
    reconciling.reconciler.reconcile_all()

    assert reconciling.notices == []


@pytest.mark.parametrize("problem", [Unreachable("away"), SignInNeeded("sign in")])
def test_what_is_about_all_requests_ends_the_round(reconciling: Reconciling, problem: Exception) -> None:
    reconciling.submit("a")
    reconciling.submit("b")
    reconciling.globus.documents = {"task-1": problem, "task-2": dict(ACTIVE)}
    with pytest.raises(type(problem)):
        reconciling.run()

    assert reconciling.store.ledger.open[2].progress == ()


# ---- a task that Globus does not show ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_ns", "problem", "is_trouble"),
    [
        (0, UNKNOWN, False),
        (FIRST_SHOWN_NS - 1, UNKNOWN, False),
        (FIRST_SHOWN_NS, UNKNOWN, True),
        (-1, UNKNOWN, True),  # a clock that was set back
        (0, GlobusProblem("another document"), True),
    ],
)
def test_a_task_that_was_just_submitted_may_not_be_known_yet(
    reconciling: Reconciling, age_ns: int, problem: Exception, is_trouble: bool
) -> None:
    reconciling.submit("a")
    reconciling.globus.documents["task-1"] = problem
    reconciling.now_ns += age_ns

    assert reconciling.run() == []
    assert reconciling.store.ledger.open[1].trouble == (UNSEEN if is_trouble else "")
    assert len(reconciling.notices) == is_trouble


def unseen_for(reconciling: Reconciling, *ages_ns: int) -> None:
    """Runs at these times after the first that does not see the task."""
    begin_ns = START_NS + FIRST_SHOWN_NS
    for age_ns in (0, *ages_ns):
        reconciling.now_ns = begin_ns + age_ns
        assert reconciling.run() == []


def test_an_unseen_task_keeps_the_time_of_the_first_such_answer(reconciling: Reconciling) -> None:
    reconciling.submit("a")
    unseen_for(reconciling, 5, STUCK_NS - 1)

    task = reconciling.store.ledger.open[1]
    assert (task.progress_at_ns, task.trouble, task.is_canceling) == (START_NS + FIRST_SHOWN_NS, UNSEEN, False)
    assert (task.state, reconciling.globus.canceled, reconciling.commits) == (SUBMITTED, [], 1)


def test_an_unseen_task_is_lost_one_run_after_it_was_asked_to_be_canceled(reconciling: Reconciling) -> None:
    reconciling.submit("a")
    reconciling.globus.cancel_raises = GlobusProblem("there is no such task")
    unseen_for(reconciling, STUCK_NS)
    assert reconciling.globus.canceled == ["task-1"]
    assert reconciling.store.ledger.open[1].is_canceling
    assert [subject for _, subject, _ in reconciling.notices] == ["task-1"]

    reconciling.now_ns += 1
    assert reconciling.run() == []

    (ended,) = reconciling.store.history()
    retry = reconciling.store.trie.folder("").retries["a"]
    assert isinstance(ended, Task)
    assert (ended.state, ended.reason, ended.arrived, ended.returned) == (LOST, "404", 0, 1)
    assert ended.ended_at_ns == reconciling.now_ns
    assert (retry.code, retry.attempts, retry.task) == ("TASK_UNKNOWN", 1, 1)
    assert reconciling.globus.canceled == ["task-1"]
    assert reconciling.store.ledger.open == {}
    assert [kind for kind, _, _ in reconciling.notices] == [TASK_LOST]
    assert (reconciling.summary.failed, reconciling.summary.retrying) == (1, 1)


def test_a_dry_run_neither_cancels_nor_gives_up(reconciling: Reconciling) -> None:
    reconciling.submit("a")
    unseen_for(reconciling)
    reconciling.now_ns += 2 * STUCK_NS
    reconciling.run(may_act=False)
    reconciling.run(may_act=False)

    assert (list(reconciling.store.ledger.open), reconciling.globus.canceled) == ([1], [])


def test_an_adopted_task_that_is_not_shown_is_given_up_without_being_canceled(reconciling: Reconciling) -> None:
    task = reconciling.submit("a", is_adopted=True)
    reconciling.globus.by_label[task.label] = {"task_id": "another", **ACTIVE}
    unseen_for(reconciling, STUCK_NS)

    assert reconciling.globus.canceled == []
    assert reconciling.store.ledger.open == {}


def test_an_unseen_task_that_is_found_by_its_label_goes_on_under_the_id_found(reconciling: Reconciling) -> None:
    task = reconciling.submit("a")
    unseen_for(reconciling)
    reconciling.globus.by_label[task.label] = {"task_id": "renamed", **ACTIVE}
    reconciling.now_ns += STUCK_NS

    assert [document["task_id"] for document in reconciling.run()] == ["renamed"]
    found = reconciling.store.ledger.open[1]
    assert (found.task_id, found.trouble, found.is_canceling) == ("renamed", "", False)
    assert reconciling.globus.canceled == []


def test_an_earlier_attempt_to_cancel_does_not_count_for_a_task_that_is_newly_unseen(reconciling: Reconciling) -> None:
    reconciling.submit("a", is_canceling=True)
    unseen_for(reconciling)

    assert not reconciling.store.ledger.open[1].is_canceling


def test_no_answer_to_the_attempt_to_cancel_ends_the_round(reconciling: Reconciling) -> None:
    reconciling.submit("a")
    unseen_for(reconciling)
    reconciling.globus.cancel_raises = Unreachable("away")
    reconciling.now_ns += STUCK_NS
    with pytest.raises(Unreachable):
        reconciling.run()

    assert reconciling.store.ledger.open[1].is_canceling


# ---- a task that has ended ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fatal_error", "state", "code", "reason"),
    [
        ({"code": "QUOTA_EXCEEDED", "description": "no space"}, FAILED, "QUOTA_EXCEEDED", "QUOTA_EXCEEDED: no space"),
        ({"code": "", "description": "no space"}, FAILED, "no space", "no space"),
        (None, FAILED, "no reason given", "no reason given"),
        ({"code": "CANCELED", "description": "by a person"}, CANCELED, "CANCELED", "CANCELED: by a person"),
    ],
)
def test_a_failed_task_is_recorded_with_its_reason_and_its_paths_with_its_code(
    reconciling: Reconciling, fatal_error: Any, state: str, code: str, reason: str
) -> None:
    reconciling.submit("a")
    reconciling.globus.documents["task-1"] = {
        "status": "FAILED",
        "fatal_error": fatal_error,
        "history_deleted": True,
        "completion_time": "2023-11-15T00:00:00+00:00",
    }
    reconciling.now_ns = START_NS + 60 * NS_PER_SECOND

    assert reconciling.run() == []
    (ended,) = reconciling.store.history()
    retry = reconciling.store.trie.folder("").retries["a"]
    assert isinstance(ended, Task)
    assert (ended.state, ended.reason, ended.arrived, ended.returned) == (state, reason, 0, 1)
    assert ended.ended_at_ns == max(reconciling.now_ns, 1_700_006_400 * NS_PER_SECOND)
    assert (retry.code, retry.attempts, retry.task) == (code, 1, 1)
    assert reconciling.notices == [(TASK_ENDED, "task-1", f"{state} {code}")]
    assert (reconciling.summary.failed, reconciling.summary.succeeded, reconciling.summary.retrying) == (1, 0, 1)


def test_a_task_that_succeeded_is_recorded_and_no_longer_asked_for(reconciling: Reconciling) -> None:
    reconciling.submit("a")
    reconciling.globus.documents["task-1"] = {
        "status": "SUCCEEDED",
        "files": 1,
        "files_transferred": 1,
        "bytes_transferred": 10,
        "files_skipped": 0,
        "subtasks_skipped_errors": 0,
        "faults": 0,
        "verify_checksum": True,
    }

    assert reconciling.run() == []
    (ended,) = reconciling.store.history()
    record = reconciling.store.trie.folder("").delivered["a"]
    assert isinstance(ended, Task)
    assert (ended.state, ended.reason, ended.arrived, ended.returned) == (SUCCEEDED, "", 1, 0)
    assert (record.task, record.transferred_at_ns, record.ctime_lag_ns) == (1, START_NS, 0)
    assert record.ctime_lag_ns != LAG_UNKNOWN
    assert (reconciling.summary.succeeded, reconciling.summary.delivered) == (1, 1)
    assert (reconciling.notices, reconciling.globus.asked) == ([], [])


def test_a_task_whose_lists_are_being_read_is_not_asked_for_again(reconciling: Reconciling) -> None:
    reconciling.submit("a")
    reconciling.globus.documents["task-1"] = {"status": "SUCCEEDED", "subtasks_skipped_errors": 0}
    reconciling.globus.pages = [GlobusProblem("not now")]
    reconciling.run()
    assert reconciling.store.ledger.open[1].state == READING
    reconciling.globus.documents["task-1"] = GlobusProblem("nobody asks")
    reconciling.globus.pages = [GlobusProblem("not now")]
    reconciling.run()

    assert reconciling.globus.asked == [("successful_transfers", "")] * 2
