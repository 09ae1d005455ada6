"""What becomes of a batch with each answer to its submission: accepted, lost, refused, too large, already under way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tasks_in_memory import DST_ID, SRC_ID, TasksInMemory, settings_of

from autotransfer.common.errors import (
    ConfigurationProblem,
    GlobusProblem,
    IdenticalPaths,
    OutcomeUnknown,
    RequestRefused,
    RequestTooLarge,
    SignInNeeded,
)
from autotransfer.common.summary import PATH_REFUSED, TASK_ADOPTED, Summary
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore.record import InFlight
from autotransfer.datastore.store import IN_MEMORY, ITEM_LIMIT, RESCAN, Store
from autotransfer.datastore.tasks import PREPARED, SUBMITTED, Item, Task
from autotransfer.plan.batches import Batch
from autotransfer.transfer.submit import LONGEST_DOUBT_NS, RECENT_TASKS, Submitter

START_NS = 1_700_000_000 * NS_PER_SECOND
NAMES = ("a", "b", "c", "d", "e")


class Submitting:
    """A submitter with a clock of its own, and what it changes.

    Attributes:
        accepted: The tasks that it reported as accepted.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.now_ns = START_NS
        self.globus = TasksInMemory()
        self.store = Store(IN_MEMORY)
        self.summary = Summary(started_at_ns=START_NS)
        self.accepted: list[Task] = []
        self.settings = settings_of(folder, **settings)
        self.submitter = Submitter(
            self.settings,
            self.store,
            self.globus.as_tasks,
            self.summary,
            clock_ns=lambda: self.now_ns,
            on_submitted=self.accepted.append,
        )

    def prepare(self, *tasks: str) -> None:
        """Prepare a task of each word's letters, files of 10 bytes, numbered from 1."""
        batches = []
        folder = self.store.trie.folder("")
        for number, names in enumerate(tasks, start=self.store.ledger.next_number):
            folder.in_flight.update({name: InFlight(1, 10, number) for name in names})
            self.store.put_items(number, [Item("", name, 1, 10) for name in names])
            batches.append(Batch(number, "mtime", False, 0, len(names), len(names), 10 * len(names), False))
        self.store.trie.put("", folder)
        self.submitter.prepare(batches, verifies=True)

    @property
    def open(self) -> dict[int, tuple[str, str]]:
        """Number to state and task_id of the open tasks, as they are committed."""
        self.store.rollback()
        return {number: (task.state, task.task_id) for number, task in self.store.ledger.open.items()}

    @property
    def in_flight(self) -> dict[str, int]:
        """Name to task, as it is committed."""
        self.store.rollback()
        return {name: record.task for name, record in self.store.trie.folder("").in_flight.items()}

    def posted_paths(self) -> list[str]:
        """The names that each submission carried."""
        return ["".join(path[-1] for path in paths) for _, _, paths in self.globus.posted]


@pytest.fixture
def submitting(tmp_path: Path) -> Iterator[Submitting]:
    made = Submitting(tmp_path)
    with made.store:
        yield made


def test_a_task_is_recorded_with_all_that_it_carries(submitting: Submitting) -> None:
    submitting.prepare("abc")
    (prepared,) = submitting.store.ledger.open.values()
    submitting.now_ns += 5
    submitting.submitter.post_all()

    (task,) = submitting.store.ledger.open.values()
    assert (prepared.state, prepared.prepared_at_ns, prepared.verifies) == (PREPARED, START_NS, True)
    assert (prepared.files, prepared.size_bytes, prepared.items) == (3, 30, 3)
    assert (prepared.src_path, prepared.dst_dir) == (submitting.settings.src_dir, "/archive/src")
    assert prepared.document["label"] == prepared.label
    assert task == prepared.accepted("task-1", now_ns=START_NS + 5)
    assert submitting.accepted == [task]
    counts = submitting.summary
    assert (counts.submitted, counts.items, counts.sent_files, counts.sent_bytes) == (1, 3, 3, 30)
    assert counts.task_ids == ["task-1"]


def test_what_has_failed_before_is_recorded_with_the_task(submitting: Submitting) -> None:
    submitting.store.put_items(1, [Item("", "a", 1, 10)])
    submitting.submitter.prepare([Batch(1, "checksum", True, 1, 1, 1, 10, False)], verifies=False)

    (task,) = submitting.store.ledger.open.values()
    assert (task.has_failed, task.failing, task.sync_level, task.verifies) == (True, 1, "checksum", False)


def test_tasks_are_posted_oldest_first_and_only_those_that_are_prepared(submitting: Submitting) -> None:
    submitting.prepare("a", "b", "c")
    tasks = submitting.store.ledger.open
    submitting.store.put_task(tasks[2].accepted("known", now_ns=START_NS))
    submitting.submitter.post_all()

    assert submitting.posted_paths() == ["a", "c"]
    assert submitting.open == {1: (SUBMITTED, "task-1"), 2: (SUBMITTED, "known"), 3: (SUBMITTED, "task-2")}


# ---- answers that are lost ---------------------------------------------------------------------------------------


def test_a_lost_answer_leaves_the_task_and_those_after_it_prepared(submitting: Submitting) -> None:
    submitting.prepare("a", "b")
    submitting.globus.answers = [OutcomeUnknown("lost")]
    with pytest.raises(OutcomeUnknown):
        submitting.submitter.post_all()

    assert submitting.open == {1: (PREPARED, ""), 2: (PREPARED, "")}
    submitting.submitter.post_all(is_again=True)
    ids = [submission_id for submission_id, _, _ in submitting.globus.posted]
    assert ids[0] == ids[1] != ids[2]
    assert submitting.open == {1: (SUBMITTED, "task-2"), 2: (SUBMITTED, "task-3")}


@pytest.mark.parametrize(("age_ns", "is_kept"), [(0, True), (LONGEST_DOUBT_NS - 1, True), (LONGEST_DOUBT_NS, False)])
def test_an_unanswered_task_is_posted_again_for_a_day_and_then_given_up(
    submitting: Submitting, age_ns: int, is_kept: bool
) -> None:
    submitting.prepare("ab")
    submitting.now_ns += age_ns
    submitting.globus.answers = [OutcomeUnknown("lost")]
    if is_kept:
        with pytest.raises(OutcomeUnknown):
            submitting.submitter.post_all(is_again=True)
    else:
        submitting.submitter.post_all(is_again=True)

    assert LONGEST_DOUBT_NS == DAY * NS_PER_SECOND
    assert submitting.open == ({1: (PREPARED, "")} if is_kept else {})
    assert submitting.in_flight == ({"a": 1, "b": 1} if is_kept else {})


def test_a_task_of_this_run_is_never_given_up_for_a_lost_answer(submitting: Submitting) -> None:
    submitting.prepare("a")
    submitting.now_ns += 2 * LONGEST_DOUBT_NS
    submitting.globus.answers = [OutcomeUnknown("lost")]
    with pytest.raises(OutcomeUnknown):
        submitting.submitter.post_all()

    assert submitting.open == {1: (PREPARED, "")}


def test_a_task_that_is_given_up_delays_no_other(submitting: Submitting) -> None:
    submitting.prepare("a", "b")
    submitting.now_ns += LONGEST_DOUBT_NS
    submitting.globus.answers = [OutcomeUnknown("lost")]
    submitting.submitter.post_all(is_again=True)

    assert submitting.open == {2: (SUBMITTED, "task-2")}


def test_a_task_whose_answer_was_lost_is_known_by_its_label(submitting: Submitting) -> None:
    submitting.prepare("a")
    (task,) = submitting.store.ledger.open.values()
    submitting.globus.by_label[task.label] = {"task_id": "known"}
    submitting.globus.answers = [RequestRefused("its deadline has passed")]
    submitting.now_ns += 7
    submitting.submitter.post_all(is_again=True)

    (found,) = submitting.store.ledger.open.values()
    assert found == task.accepted("known", now_ns=START_NS + 7)
    assert submitting.accepted == []


# ---- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [SignInNeeded("sign in"), ConfigurationProblem("no such collection")])
def test_a_refusal_withdraws_all_that_this_run_prepared(submitting: Submitting, problem: Exception) -> None:
    submitting.store.shelf[RESCAN] = ""
    submitting.prepare("ab", "c")
    submitting.globus.answers = [problem]
    with pytest.raises(type(problem)):
        submitting.submitter.post_all()

    assert (submitting.open, submitting.in_flight, submitting.posted_paths()) == ({}, {}, ["ab"])
    assert submitting.store.items(1) == submitting.store.items(2) == []
    assert submitting.store.shelf[RESCAN] == "a\0b\0c"


@pytest.mark.parametrize(
    ("problem", "is_kept"), [(SignInNeeded("sign in"), True), (ConfigurationProblem("no such collection"), False)]
)
def test_an_earlier_task_stays_prepared_only_where_the_login_is_refused(
    submitting: Submitting, problem: Exception, is_kept: bool
) -> None:
    submitting.prepare("a", "b")
    submitting.globus.answers = [problem]
    with pytest.raises(type(problem)):
        submitting.submitter.post_all(is_again=True)

    assert submitting.open == ({1: (PREPARED, "")} if is_kept else {}) | {2: (PREPARED, "")}


def test_an_earlier_task_that_is_refused_for_its_contents_is_withdrawn_and_the_others_go_on(
    submitting: Submitting,
) -> None:
    submitting.prepare("ab", "c")
    submitting.globus.answers = [RequestRefused("a path")]
    submitting.submitter.post_all(is_again=True)

    assert submitting.posted_paths() == ["ab", "c"]
    assert (submitting.open, submitting.in_flight) == ({2: (SUBMITTED, "task-2")}, {"c": 2})


@pytest.mark.parametrize(
    ("names", "first", "second"), [("ab", "a", "b"), ("abc", "ab", "c"), ("abcd", "ab", "cd"), ("abcde", "abc", "de")]
)
def test_a_refused_task_is_halved_with_ids_and_labels_of_its_own(
    submitting: Submitting, names: str, first: str, second: str
) -> None:
    submitting.prepare(names)
    (whole,) = submitting.store.ledger.open.values()
    submitting.globus.answers = [RequestTooLarge("too large")]
    submitting.submitter.post_all()

    one, two = submitting.store.ledger.open.values()
    assert submitting.posted_paths() == [names, first, second]
    assert len({submission_id for submission_id, _, _ in submitting.globus.posted}) == 3
    assert len({label for _, label, _ in submitting.globus.posted}) == 3
    assert [task.document["label"] for task in (one, two)] == [one.label, two.label]
    assert [(task.items, task.files, task.size_bytes) for task in (one, two)] == [
        (len(part), len(part), 10 * len(part)) for part in (first, second)
    ]
    assert (one.number, one.prepared_at_ns, one.verifies) == (whole.number, whole.prepared_at_ns, True)
    assert submitting.in_flight == {**dict.fromkeys(first, 1), **dict.fromkeys(second, 2)}
    assert submitting.store.shelf[ITEM_LIMIT] == len(first)


def test_a_refusal_of_what_is_in_a_request_sets_no_limit(submitting: Submitting) -> None:
    submitting.prepare("ab")
    submitting.globus.answers = [RequestRefused("a path")]
    submitting.submitter.post_all()

    assert submitting.store.shelf.get(ITEM_LIMIT) is None
    assert submitting.posted_paths() == ["ab", "a", "b"]


@pytest.mark.parametrize("is_again", [False, True])
def test_a_request_that_is_too_large_is_halved_whoever_prepared_it(submitting: Submitting, is_again: bool) -> None:
    submitting.prepare("ab")
    submitting.globus.answers = [RequestTooLarge("too large")]
    submitting.submitter.post_all(is_again=is_again)

    assert submitting.posted_paths() == ["ab", "a", "b"]


@pytest.mark.parametrize(("most", "is_room"), [(1, False), (2, True), (3, True)])
def test_a_second_half_without_a_place_is_out_of_flight_and_waits(tmp_path: Path, most: int, is_room: bool) -> None:
    submitting = Submitting(tmp_path, MAX_TASKS_IN_FLIGHT=most)
    with submitting.store:
        submitting.store.shelf[RESCAN] = ""
        submitting.prepare("abcde")
        submitting.globus.answers = [RequestTooLarge("too large")]
        submitting.submitter.post_all()

        assert submitting.posted_paths() == ["abcde", "abc", *(["de"] if is_room else [])]
        assert submitting.summary.waiting == (0 if is_room else 2)
        assert submitting.in_flight == {**dict.fromkeys("abc", 1), **(dict.fromkeys("de", 2) if is_room else {})}
        assert submitting.store.shelf[RESCAN] == ("" if is_room else "d\0e")


def test_a_path_that_is_refused_by_itself_is_set_aside_and_named(submitting: Submitting) -> None:
    submitting.store.shelf[RESCAN] = ""
    submitting.prepare("ab")
    alone = RequestRefused("Globus refused it", why="its own words", code="400")
    submitting.globus.answers = [RequestRefused("a path"), alone]
    submitting.submitter.post_all()

    folder = submitting.store.trie.folder("")
    (notice,) = submitting.summary.notices
    retry = folder.retries["a"]
    assert (retry.code, retry.attempts, retry.task) == ("REQUEST_REFUSED", 1, 1)
    assert submitting.in_flight == {"b": 2}
    assert submitting.open == {2: (SUBMITTED, "task-3")}
    assert (notice.kind, notice.subject, notice.cause) == (PATH_REFUSED, "a", "400")
    assert "its own words" in notice.text
    assert submitting.summary.retrying == 1
    assert submitting.store.shelf[RESCAN] == "a"


@pytest.mark.parametrize(("refused", "goes_on"), [(1, True), (2, True), (3, False)])
def test_three_refusals_in_a_row_of_single_paths_are_about_no_path(
    submitting: Submitting, refused: int, goes_on: bool
) -> None:
    submitting.prepare(*"abcde")
    submitting.globus.answers = [RequestRefused("refused")] * refused
    if goes_on:
        submitting.submitter.post_all()
    else:
        with pytest.raises(RequestRefused):
            submitting.submitter.post_all()

    assert len(submitting.globus.posted) == (5 if goes_on else 3)
    assert sorted(submitting.in_flight) == sorted(NAMES[refused:] if goes_on else ())
    assert sorted(submitting.store.trie.folder("").retries) == list(NAMES[:refused])


def test_an_acceptance_in_between_begins_the_count_of_refusals_anew(submitting: Submitting) -> None:
    submitting.prepare(*"abcde")
    refused = RequestRefused("refused")
    submitting.globus.answers = [refused, refused, "accepted", refused, refused]
    submitting.submitter.post_all()

    assert submitting.open == {3: (SUBMITTED, "accepted")}


def test_three_refusals_that_end_the_list_raise_nothing(submitting: Submitting) -> None:
    submitting.prepare(*"abc")
    submitting.globus.answers = [RequestRefused("refused")] * 3
    submitting.submitter.post_all()

    assert sorted(submitting.store.trie.folder("").retries) == ["a", "b", "c"]


# ---- the same paths already under way ----------------------------------------------------------------------------


def other(task_id: str, label: str = "src 9 then", **fields: Any) -> dict[str, Any]:
    """The document of an open task between the route's collections."""
    return {
        "task_id": task_id,
        "label": label,
        "source_endpoint_id": SRC_ID,
        "destination_endpoint_id": DST_ID,
        **fields,
    }


@pytest.mark.parametrize(
    ("candidates", "adopted"),
    [
        ([other("one")], "one"),
        ([other("first"), other("second")], "first"),
        ([other("foreign", "another label"), other("ours")], "ours"),
        ([other("foreign", "another label"), other("foreign too", "")], "foreign"),
        ([other("alike", "src2 9 then"), other("ours")], "ours"),
        ([other("nameless", label=None), other("ours")], "ours"),  # type: ignore[arg-type]
        ([other("back", source_endpoint_id=DST_ID, destination_endpoint_id=SRC_ID), other("ours")], "ours"),
        ([other("elsewhere", destination_endpoint_id=SRC_ID), other("ours", "another label")], "ours"),
        ([other("from elsewhere", source_endpoint_id=DST_ID), other("ours", "another label")], "ours"),
        ([other("known"), other("ours", "another label")], "ours"),
    ],
)
def test_the_task_that_has_the_paths_already_is_one_of_these_collections_and_best_of_ours(
    submitting: Submitting, candidates: list[dict[str, Any]], adopted: str
) -> None:
    submitting.prepare("a", "b")
    submitting.store.put_task(submitting.store.ledger.open[1].accepted("known", now_ns=START_NS))
    submitting.globus.open = candidates
    submitting.globus.answers = [IdenticalPaths("the same paths")]
    submitting.now_ns += 9
    submitting.submitter.post_all()

    task = submitting.store.ledger.open[2]
    (notice,) = submitting.summary.notices
    assert (task.task_id, task.is_adopted, task.state) == (adopted, True, SUBMITTED)
    assert task.submitted_at_ns == START_NS + 9
    assert (notice.kind, notice.subject) == (TASK_ADOPTED, adopted)
    assert submitting.in_flight == {"a": 1, "b": 2}


@pytest.mark.parametrize("candidates", [[], [other("elsewhere", source_endpoint_id=DST_ID)], [other("known")]])
def test_without_such_a_task_the_refusal_withdraws_only_its_own(
    submitting: Submitting, candidates: list[dict[str, Any]]
) -> None:
    submitting.prepare("a", "b")
    submitting.store.put_task(submitting.store.ledger.open[1].accepted("known", now_ns=START_NS))
    submitting.globus.open = candidates
    submitting.globus.answers = [IdenticalPaths("the same paths", why="in its words", code="409")]
    with pytest.raises(GlobusProblem) as raised:
        submitting.submitter.post_all()

    assert (raised.value.why, raised.value.code) == ("in its words", "409")
    assert submitting.open == {1: (SUBMITTED, "known")}
    assert submitting.in_flight == {"a": 1}


def test_a_task_found_by_its_label_is_not_adopted_but_ours(submitting: Submitting) -> None:
    submitting.prepare("a")
    (task,) = submitting.store.ledger.open.values()
    submitting.globus.by_label[task.label] = {"task_id": "mine"}
    submitting.globus.open = [other("one")]
    submitting.globus.answers = [IdenticalPaths("the same paths")]
    submitting.submitter.post_all()

    (found,) = submitting.store.ledger.open.values()
    assert (found.task_id, found.is_adopted, submitting.summary.notices) == ("mine", False, [])


# ---- submission_ids ----------------------------------------------------------------------------------------------


def test_a_submission_id_that_an_open_task_has_is_refused(submitting: Submitting) -> None:
    submitting.globus.next_ids = ["same", "same"]
    submitting.prepare("a")
    with pytest.raises(GlobusProblem, match="submission_id"):
        submitting.prepare("b")

    assert list(submitting.store.ledger.open) == [1]


@pytest.mark.parametrize(("later", "is_refused"), [(0, True), (RECENT_TASKS - 1, True), (RECENT_TASKS, False)])
def test_a_submission_id_that_one_of_the_last_tasks_had_is_refused(
    submitting: Submitting, later: int, is_refused: bool
) -> None:
    for number in range(1, later + 2):
        task = Task(number, f"sub {number}", "label", "mtime", {}, "/s", "/d", 1, 1, 1, START_NS, task_id=str(number))
        ended = task.ended("succeeded", now_ns=START_NS + number, reason="", arrived=1, returned=0)
        submitting.store.put_task(task)
        submitting.store.archive(ended)
    submitting.globus.next_ids = ["sub 1"]
    if is_refused:
        with pytest.raises(GlobusProblem, match="submission_id"):
            submitting.prepare("a")
    else:
        submitting.prepare("a")


def test_the_task_id_of_an_earlier_task_is_no_answer(submitting: Submitting) -> None:
    submitting.prepare("a", "b")
    submitting.globus.answers = ["same", "same"]
    with pytest.raises(OutcomeUnknown, match="of an earlier task"):
        submitting.submitter.post_all()

    assert submitting.open == {1: (SUBMITTED, "same"), 2: (PREPARED, "")}
    assert len(submitting.accepted) == 1
