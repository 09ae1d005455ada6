"""The lists of an ended task, page by page: what is credited, what is recorded, and the near side of each limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional
from unittest import mock

import pytest
from tasks_in_memory import TasksInMemory

from autotransfer.common.errors import GlobusProblem, ListRefused, Unreachable
from autotransfer.common.summary import PATH_UNREAD, TASK_ENDED, TASK_INCOMPLETE, Summary
from autotransfer.common.times import DAY, HOUR, NS_PER_SECOND
from autotransfer.datastore.evidence import TRANSFERRED, VERIFIED
from autotransfer.datastore.record import Fingerprint, InFlight
from autotransfer.datastore.store import IN_MEMORY, RESCAN, Store
from autotransfer.datastore.tasks import FAILED, READING, SUCCEEDED, Item, Reading, Task
from autotransfer.globus.tasks import SKIPPED, SUCCESSFUL, Page, Row
from autotransfer.transfer import ended
from autotransfer.transfer.ended import MOST_IDLE, PAGES_A_RUN, EndedTasks
from autotransfer.transfer.task_status import Counts, TaskStatus

NOW_NS = 1_700_000_000 * NS_PER_SECOND
REFUSED = ListRefused("Globus did not show the list")


class Ending:
    """An ended task of files of 10 bytes, whose lists are read."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS
        self.globus = TasksInMemory()
        self.store = Store(IN_MEMORY)
        self.begin_run()

    def begin_run(self) -> None:
        self.summary = Summary(started_at_ns=self.now_ns)
        self.lists = EndedTasks(
            self.store,
            self.globus.as_tasks,
            self.summary,
            recheck=self.recheck,
            set_time_command=lambda path: f"set_time.py never {path}",
            clock_ns=lambda: self.now_ns,
            commit=self.store.commit,
        )

    def recheck(self, folder_path: str, name: str) -> Optional[tuple[Fingerprint, int]]:
        return (1, 10), 0

    def end(self, names: str, state: str = SUCCEEDED, counts: Counts | None = None, **fields: Any) -> None:
        """Have a task with these files end with these counts; by default one of them was taken for current."""
        self.store.shelf[RESCAN] = ""
        folder = self.store.trie.folder("")
        folder.in_flight.update({name: InFlight(1, 10, 1, 0) for name in names})
        self.store.trie.put("", folder)
        self.store.put_items(1, [Item("", name, 1, 10) for name in names])
        task = Task(1, "sub", "label", "mtime", {}, "/s", "/d", len(names), 10 * len(names), len(names), NOW_NS)
        task = task.accepted("task-1", now_ns=NOW_NS, is_adopted=fields.pop("is_adopted", False))
        task = task._replace(verifies=fields.pop("verifies", True))
        self.store.put_task(task)
        count = len(names)
        default = Counts(count, count - 1, 10 * count - 10, 1, 0, 0)
        self.lists.begin(task, TaskStatus(state, counts=counts or default, **fields))
        self.store.rollback()

    def go_on(self) -> None:
        """Another run reads on."""
        self.begin_run()
        self.lists.read_on(self.store.ledger.open[1])
        self.store.rollback()

    @property
    def task(self) -> Task:
        """The task, open or ended."""
        found = self.store.task(1)
        assert isinstance(found, Task)
        return found

    @property
    def evidence(self) -> dict[str, int]:
        return {name: record.evidence for name, record in self.store.trie.folder("").delivered.items()}

    @property
    def codes(self) -> dict[str, str]:
        return {name: retry.code for name, retry in self.store.trie.folder("").retries.items()}


@pytest.fixture
def ending() -> Iterator[Ending]:
    made = Ending()
    yield made
    made.store.close()


def page(names: str, marker: str | None = None, *, size_bytes: int | None = 10, code: str = "") -> Page:
    return Page([Row(f"/s/{name}", size_bytes, code) for name in names], marker)


@pytest.mark.parametrize(("verifies", "evidence"), [(True, VERIFIED), (False, TRANSFERRED)])
def test_a_list_over_pages_credits_what_it_names(ending: Ending, verifies: bool, evidence: int) -> None:
    ending.globus.pages = [page("a", "m1"), page("b", "m2"), page("c")]
    ending.end("abc", counts=Counts(3, 3, 30, 0, 0, 1), verifies=verifies)

    assert ending.globus.asked == [(SUCCESSFUL, ""), (SUCCESSFUL, "m1"), (SUCCESSFUL, "m2")]
    assert ending.evidence == dict.fromkeys("abc", evidence)
    assert (ending.task.state, ending.task.arrived, ending.task.returned) == (SUCCEEDED, 3, 0)
    assert (ending.summary.succeeded, ending.summary.delivered, ending.summary.retrying) == (1, 3, 0)
    assert ending.store.shelf[RESCAN] == ""
    assert ending.summary.notices == []


def test_a_collection_that_did_not_verify_makes_weaker_evidence(ending: Ending) -> None:
    ending.globus.pages = [page("ab")]
    ending.end("ab", counts=Counts(2, 2, 20, 0, 0, 1), verified=False)

    assert ending.evidence == {"a": TRANSFERRED, "b": TRANSFERRED}


def test_what_is_not_named_in_a_failed_task_is_retried_with_its_code(ending: Ending) -> None:
    ending.globus.pages = [page("a")]
    ended_at_ns = NOW_NS + 5
    ending.end("abc", FAILED, reason="QUOTA: full", code="QUOTA", ended_at_ns=ended_at_ns)

    assert (ending.evidence, ending.codes) == ({"a": VERIFIED}, {"b": "QUOTA", "c": "QUOTA"})
    assert (ending.task.state, ending.task.reason, ending.task.ended_at_ns) == (FAILED, "QUOTA: full", ended_at_ns)
    assert (ending.task.arrived, ending.task.returned, ending.summary.failed) == (1, 2, 1)
    assert ending.store.shelf[RESCAN] == "a\0b\0c"
    (notice,) = ending.summary.notices
    assert (notice.kind, notice.subject, notice.cause) == (TASK_ENDED, "task-1", "failed QUOTA")


def test_what_globus_gave_up_is_named_with_its_code_before_the_rest_is_read(ending: Ending) -> None:
    ending.globus.pages = [page("b", code="PERMISSION_DENIED"), page("a")]
    ending.end("ab", counts=Counts(2, 1, 10, 0, 1, 1))

    assert ending.globus.asked == [(SKIPPED, ""), (SUCCESSFUL, "")]
    assert (ending.evidence, ending.codes) == ({"a": VERIFIED}, {"b": "PERMISSION_DENIED"})
    assert ending.task.reason == "1 paths skipped"
    (notice,) = ending.summary.notices
    assert (notice.kind, notice.subject, notice.cause) == (PATH_UNREAD, "b", "PERMISSION_DENIED")


def test_what_was_given_up_and_is_not_named_is_reported(ending: Ending) -> None:
    ending.globus.pages = [page(""), page("a")]
    ending.end("ab", counts=Counts(2, 1, 10, 0, 1, 1))

    assert (ending.evidence, ending.codes) == ({"a": VERIFIED}, {"b": "SKIPPED"})
    assert [notice.kind for notice in ending.summary.notices] == [TASK_INCOMPLETE]


def test_an_adopted_task_credits_nothing_and_asks_for_no_list(ending: Ending) -> None:
    ending.end("a", counts=Counts(1, 1, 10, 0, 0, 0), is_adopted=True)

    assert (ending.evidence, ending.codes) == ({}, {"a": "ADOPTED"})
    assert (ending.task.reason, ending.globus.asked) == ("adopted", [])


# ---- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "limit_ns"), [(REFUSED, HOUR * NS_PER_SECOND), (GlobusProblem("it fails"), 3 * DAY * NS_PER_SECOND)]
)
@pytest.mark.parametrize(("late_ns", "is_closed"), [(-1, False), (0, True)])
def test_a_list_that_cannot_be_had_is_given_up_only_after_its_time(
    ending: Ending, problem: Exception, limit_ns: int, late_ns: int, is_closed: bool
) -> None:
    def go_on(act: Any) -> None:
        ending.globus.pages = [problem]
        if isinstance(problem, ListRefused) or (act == ending.go_on and is_closed):
            act()
        else:
            with pytest.raises(GlobusProblem):
                act()
            ending.store.rollback()

    go_on(lambda: ending.end("ab"))
    assert Reading(*ending.task.reading).refused_since_ns == NOW_NS
    ending.now_ns += limit_ns + late_ns
    go_on(ending.go_on)

    assert ending.codes == (dict.fromkeys("ab", "LIST_REFUSED") if is_closed else {})
    assert (ending.task.state == SUCCEEDED) == is_closed
    assert [notice.kind for notice in ending.summary.notices] == [TASK_INCOMPLETE] * is_closed


def test_a_page_that_comes_ends_the_time_of_refusals(ending: Ending) -> None:
    ending.globus.pages = [REFUSED]
    ending.end("ab")
    ending.now_ns += 1
    ending.globus.pages = [page("a", "m"), Unreachable("away")]
    with pytest.raises(Unreachable):
        ending.go_on()
    ending.store.rollback()

    reading = Reading(*ending.task.reading)
    assert (reading.refused_since_ns, reading.marker, reading.listed, reading.pages) == (0, "m", 1, 1)
    assert ending.evidence == {"a": VERIFIED}


def test_a_deleted_history_credits_nothing_and_is_not_asked_for(ending: Ending) -> None:
    ending.end("ab", has_history=False)

    assert (ending.evidence, ending.codes, ending.globus.asked) == ({}, dict.fromkeys("ab", "LIST_REFUSED"), [])


@pytest.mark.parametrize(("pages", "is_over"), [(PAGES_A_RUN - 1, True), (PAGES_A_RUN, True), (PAGES_A_RUN + 1, False)])
def test_a_run_reads_so_many_pages_and_the_next_goes_on_from_there(ending: Ending, pages: int, is_over: bool) -> None:
    with mock.patch.object(ended, "MOST_IDLE", 10**6):
        ending.globus.pages = [*(page("", f"m{number}") for number in range(1, pages)), page("a")]
        ending.end("a", counts=Counts(1, 1, 10, 0, 0, 1))
        assert (ending.task.state == READING) != is_over
        if not is_over:
            assert Reading(*ending.task.reading).marker == f"m{PAGES_A_RUN}"
            ending.go_on()

    assert ending.task.state == SUCCEEDED
    assert ending.evidence == {"a": VERIFIED}


@pytest.mark.parametrize(("idle", "is_given_up"), [(MOST_IDLE - 1, False), (MOST_IDLE, True)])
def test_a_list_without_a_path_that_is_looked_for_ends(ending: Ending, idle: int, is_given_up: bool) -> None:
    with mock.patch.object(ended, "PAGES_A_RUN", 10**6):
        ending.begin_run()
        ending.globus.pages = [*(page("", f"m{number}") for number in range(idle)), page("a")]
        ending.end("a", counts=Counts(1, 1, 10, 0, 0, 1))

    assert ending.task.state == SUCCEEDED
    assert (ending.evidence, ending.codes) == (({}, {"a": "LIST_REFUSED"}) if is_given_up else ({"a": VERIFIED}, {}))


@pytest.mark.parametrize("marker", ["", "same"])
def test_a_marker_that_makes_no_progress_ends_a_list(ending: Ending, marker: str) -> None:
    ending.globus.pages = [page("a", marker), page("b", marker)]
    ending.end("abc")

    assert ending.task.state == SUCCEEDED
    assert ending.codes["c"] == "LIST_REFUSED"
    assert [notice.kind for notice in ending.summary.notices] == [TASK_INCOMPLETE]
