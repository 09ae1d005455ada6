"""The answer about one path: each state, each amount of a folder, and what stands against deleting the original."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tasks_in_memory import settings_of
from tree_with_records import MTIME_NS, TreeWithRecords

from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.common.times import NS_PER_SECOND
from autotransfer.datastore.evidence import ASSUMED, EQUAL, FOUND, VERIFIED
from autotransfer.datastore.reader import Reader
from autotransfer.datastore.record import Delivered, InFlight, Retry
from autotransfer.datastore.tasks import Task
from autotransfer.datastore.twins import Doubt
from autotransfer.status import path as asked
from autotransfer.status.folders import Amount
from autotransfer.status.path import MOST_NAMED, FileAnswer, FolderAnswer, answer

NOW_NS = 1_900_000_000 * NS_PER_SECOND


class Asking(TreeWithRecords):
    """A tree and its records, about which is asked."""

    def deliver(self, rel_path: str, **fields: Any) -> None:
        """Write a file, and record it as delivered."""
        folder_path, _, name = rel_path.rpartition("/")
        lag_ns = self.write(rel_path)
        record = Delivered(MTIME_NS, 5, MTIME_NS + 9, 1, VERIFIED, lag_ns)._replace(**fields)
        self.record(folder_path, delivered={**self.store.trie.folder(folder_path).delivered, name: record})

    def end_task(self, number: int) -> None:
        task = Task(number, f"sub {number}", "label", "mtime", {}, "/s", "/d", 1, 5, 1, MTIME_NS, task_id=f"{number}")
        self.store.put_task(task)
        self.store.archive(task.ended("succeeded", now_ns=MTIME_NS, reason="", arrived=1, returned=0))

    def ask(self, rel_path: str, *, accept: tuple[str, ...] = (), **settings: Any) -> Any:
        progress: list[int] = []
        self.store.commit()
        return answer(
            settings_of(self.folder, **settings),
            Reader(self.store),
            self.root_fd,
            rel_path,
            clock_ns=lambda: NOW_NS,
            accept=accept,
            on_progress=progress.append,
        )


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    made = Asking(tmp_path)
    yield made
    made.close()


# ---- a file ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evidence", "state", "is_safe"),
    [(VERIFIED, "verified", True), (EQUAL, "equal", True), (FOUND, "found", False), (ASSUMED, "assumed", False)],
)
def test_a_delivered_file_has_its_evidence_and_its_task(
    asking: Asking, evidence: int, state: str, is_safe: bool
) -> None:
    asking.end_task(1)
    asking.deliver("run/a", evidence=evidence)
    found = asking.ask("run/a")

    assert isinstance(found, FileAnswer)
    assert (found.state, found.is_delivered, found.is_safe) == (state, True, is_safe)
    assert (found.rel_path, found.seen) == ("run/a", (MTIME_NS, 5))
    assert found.delivered is not None and found.delivered.transferred_at_ns == MTIME_NS + 9
    assert found.task is not None and found.task.task_id == "1"
    assert asking.ask("run/a", accept=(state,)).is_safe


def retry(*, not_before_ns: int = 0, size_bytes: int = 5) -> Retry:
    return Retry(MTIME_NS, size_bytes, 2, not_before_ns, "SKIPPED", 1)


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ({}, "new"),
        ({"delivered": {"a": Delivered(MTIME_NS, 4, 1, 1, VERIFIED)}}, "modified"),
        ({"delivered": {"a": Delivered(MTIME_NS + 1, 5, 1, 1, VERIFIED)}}, "modified"),
        ({"retries": {"a": retry()}}, "retrying"),
        ({"retries": {"a": retry(not_before_ns=NOW_NS)}}, "retrying"),
        ({"retries": {"a": retry(not_before_ns=NOW_NS + 1)}}, "backing_off"),
        ({"retries": {"a": retry(not_before_ns=NOW_NS + 1, size_bytes=4)}}, "retrying"),
        ({"in_flight": {"a": InFlight(MTIME_NS, 5, 1)}}, "in_flight"),
        ({"in_flight": {"a": InFlight(MTIME_NS, 4, 1)}}, "waiting"),
        (
            {
                "in_flight": {"a": InFlight(MTIME_NS, 5, 1)},
                "delivered": {"a": Delivered(MTIME_NS - 1, 4, 1, 1, VERIFIED)},
            },
            "in_flight",
        ),
        ({"carried_by": 1}, "waiting"),
        ({"delivered": {"a": Delivered(MTIME_NS, 5, 1, 1, VERIFIED, 77)}}, "touched"),
    ],
)
def test_a_file_has_one_state(asking: Asking, records: dict[str, Any], state: str) -> None:
    asking.end_task(1)
    asking.write("run/a")
    asking.record("run", **records)
    found = asking.ask("run/a")

    assert isinstance(found, FileAnswer)
    assert (found.state, found.is_delivered, found.is_safe) == (state, False, False)
    has_task = bool(records)
    assert (found.task is not None) == has_task
    assert asking.ask("run").is_safe is False


def test_a_file_touched_a_moment_ago_is_unsettled(asking: Asking) -> None:
    asking.write("a", mtime_ns=NOW_NS - 10 * NS_PER_SECOND)

    assert asking.ask("a", SETTLE_SECONDS=10).state == "unsettled"
    assert asking.ask("a", SETTLE_SECONDS=9).state == "new"
    assert asking.ask("", SETTLE_SECONDS=10).held == {"unsettled": 1, "waiting": 0, "backing_off": 0}


def test_the_newest_record_names_the_task(asking: Asking) -> None:
    for number in (1, 2, 3):
        asking.end_task(number)
    asking.deliver("a")
    asking.record("", retries={"a": Retry(MTIME_NS, 5, 1, 0, "SKIPPED", 2)})
    assert asking.ask("a").task.number == 2
    asking.record("", in_flight={"a": InFlight(MTIME_NS, 5, 3)})
    assert asking.ask("a").task.number == 3


def test_what_is_not_there_is_vanished_only_where_it_was_recorded(asking: Asking) -> None:
    asking.record("", delivered={"gone": Delivered(MTIME_NS, 5, 1, 1)}, retries={"failed": retry()})
    asking.record("", in_flight={"flying": InFlight(MTIME_NS, 5, 1)})

    states = [asking.ask(name).state for name in ("gone", "failed", "flying", "never", "gone/below")]
    assert states == ["vanished", "vanished", "vanished", "unknown", "unknown"]
    assert not any(asking.ask(name).is_safe for name in ("gone", "never"))


@pytest.mark.parametrize(
    ("rel_path", "settings", "state", "says", "accepted"),
    [
        ("a.tmp", {"EXCLUDE": ["*.tmp"]}, "excluded", "'*.tmp'", "skipped"),
        ("scratch/deep/a", {"EXCLUDE": ["scratch"]}, "excluded", "'scratch'", "skipped"),
        ("link", {}, "symlink", "'ignore'", "symlinks"),
        ("link", {"SYMLINKS": "follow"}, "symlink", "does not lead to a file", "symlinks"),
        ("pipe", {}, "special", "a pipe", "special_files"),
        ("bad\udcff", {}, "unsendable", "rename", "found"),
    ],
)
def test_what_is_never_sent_says_why_and_may_be_accepted(
    asking: Asking, rel_path: str, settings: dict[str, Any], state: str, says: str, accepted: str
) -> None:
    for name in ("a.tmp", "scratch/deep/a", "bad\udcff"):
        asking.write(name)
    (asking.src / "link").symlink_to("scratch")
    os.mkfifo(asking.src / "pipe")
    found = asking.ask(rel_path, **settings)

    assert (found.state, found.is_delivered, found.is_safe) == (state, False, False)
    assert says in found.why
    assert asking.ask(rel_path, accept=(accepted,), **settings).is_safe == (state != "unsendable")


def test_a_twin_is_neither_verified_nor_safe(asking: Asking) -> None:
    asking.deliver("a")
    asking.deliver("A")
    asking.store.twins.put("", Doubt(names=("A", "a")))

    assert (asking.ask("a").state, asking.ask("a").is_safe) == ("twin", False)
    assert asking.ask("").evidence == {"twin": 2}
    assert not asking.ask("").is_safe


# ---- a folder ----------------------------------------------------------------------------------------------------


def test_a_folder_adds_up_what_is_in_it_and_below(asking: Asking) -> None:
    for number in (1, 2, 3):
        asking.end_task(number)
    asking.deliver("run/a", transferred_at_ns=MTIME_NS + 5)
    asking.deliver("run/deep/b", task=2, transferred_at_ns=MTIME_NS + 7)
    asking.deliver("run/deep/said", task=0, evidence=ASSUMED, transferred_at_ns=NOW_NS)
    asking.deliver("beside", task=3)
    asking.write("run/new", mtime_ns=MTIME_NS - 1)
    asking.write("run/flying", mtime_ns=MTIME_NS - 2)
    asking.record("run", in_flight={"flying": InFlight(MTIME_NS - 2, 5, 3)})
    asking.record("run/deep", retries={"gone": retry()})
    found = asking.ask("run")

    assert isinstance(found, FolderAnswer)
    assert (found.rel_path, found.is_on_disk) == ("run", True)
    assert (found.delivered, found.in_flight, found.unsent) == (Amount(3, 15), Amount(1, 5), Amount(1, 5))
    assert found.evidence == {"verified": 2, "assumed": 1}
    assert found.vanished_files == 1
    assert (found.last_delivered_ns, [task.number for task in found.tasks]) == (MTIME_NS + 7, [3, 2, 1])
    assert (found.oldest_ns, found.oldest_path) == (MTIME_NS - 2, "run/flying")
    assert (found.is_delivered, found.is_safe, found.weak) == (False, False, {"assumed": 1})


def test_a_folder_is_safe_only_when_all_of_it_is_proved(asking: Asking) -> None:
    asking.deliver("run/a")
    asking.deliver("run/b", evidence=EQUAL)
    assert asking.ask("run").is_safe and asking.ask("").is_safe
    asking.deliver("run/c", evidence=FOUND)

    found = asking.ask("run")
    assert (found.is_delivered, found.is_safe, found.weak) == (True, False, {"found": 1})
    assert asking.ask("run", accept=("found",)).is_safe


@pytest.mark.parametrize(
    ("make", "skipped", "errors", "accepted"),
    [
        ("symlink", {"symlinks": 1}, 0, "symlinks"),
        ("pipe", {"special_files": 1}, 0, "special_files"),
        ("excluded", {"skipped": 1}, 0, "skipped"),
        ("unsendable", {}, 1, ""),
    ],
)
def test_a_folder_with_something_that_cannot_be_sent_is_not_safe(
    asking: Asking, make: str, skipped: dict[str, int], errors: int, accepted: str
) -> None:
    asking.deliver("run/a")
    if make == "symlink":
        (asking.src / "run/link").symlink_to("a")
    elif make == "pipe":
        os.mkfifo(asking.src / "run/pipe")
    else:
        asking.write({"excluded": "run/b.tmp", "unsendable": "run/bad\udcff"}[make])
    found = asking.ask("run", EXCLUDE=["*.tmp"])

    assert (found.skipped, found.error_count, len(found.errors)) == (skipped, errors, errors)
    assert (found.is_delivered, found.is_safe) == (not errors, False)
    assert asking.ask("run", accept=(accepted,), EXCLUDE=["*.tmp"]).is_safe == (not errors)


@pytest.mark.parametrize("count", [MOST_NAMED - 1, MOST_NAMED, MOST_NAMED + 1])
def test_only_the_first_errors_are_named_and_all_are_counted(asking: Asking, count: int) -> None:
    for number in range(count):
        asking.write(f"run/{number:02}/bad\udcff")
    found = asking.ask("run")

    assert (found.error_count, len(found.errors)) == (count, min(count, MOST_NAMED))
    assert found.errors[0][0] == "run/00/bad\udcff"


@pytest.mark.parametrize("count", [MOST_NAMED, MOST_NAMED + 1])
def test_only_the_newest_tasks_are_named(asking: Asking, count: int) -> None:
    for number in range(1, count + 1):
        asking.end_task(number)
        asking.deliver(f"run/{number}", task=number)

    assert [task.number for task in asking.ask("run").tasks] == list(range(count, count - MOST_NAMED, -1))


def test_an_empty_folder_counts_and_is_not_the_oldest_path(asking: Asking) -> None:
    (asking.src / "run/empty").mkdir(parents=True)
    found = asking.ask("run")
    assert (found.unsent, found.oldest_path, found.is_safe) == (Amount(1, 0), "", False)
    asking.record("run/empty", delivered={FOLDER_ITSELF: Delivered(0, 0, MTIME_NS, 1, VERIFIED, 99)})

    found = asking.ask("run")
    assert (found.delivered, found.evidence, found.vanished_files) == (Amount(1, 0), {"verified": 1}, 0)
    assert found.is_safe


def test_a_folder_that_is_gone_is_answered_from_its_records(asking: Asking) -> None:
    asking.end_task(1)
    asking.record("old/deep", delivered={"a": Delivered(MTIME_NS, 5, MTIME_NS + 9, 1, VERIFIED)})
    asking.record("old/deep", retries={"b": retry()})
    found = asking.ask("old")

    assert isinstance(found, FolderAnswer)
    assert (found.is_on_disk, found.is_delivered, found.is_safe) == (False, False, False)
    assert (found.delivered, found.unsent, found.vanished_files) == (Amount(1, 5), Amount(1, 5), 2)
    assert (found.last_delivered_ns, found.evidence) == (MTIME_NS + 9, {"verified": 1})
    assert [task.number for task in found.tasks] == [1]


def test_an_empty_tree_with_records_is_not_on_disk(asking: Asking) -> None:
    assert asking.ask("").is_on_disk
    asking.record("", delivered={"gone": Delivered(MTIME_NS, 5, 1, 1, VERIFIED)})

    found = asking.ask("")
    assert (found.is_on_disk, found.is_safe) == (False, False)


def test_what_is_excluded_is_neither_vanished_nor_an_error(asking: Asking) -> None:
    asking.deliver("run/a.tmp")
    asking.deliver("run/b")

    assert asking.ask("run", EXCLUDE=["*.tmp"]).vanished_files == 0


def test_progress_is_shown_with_the_files_so_far(asking: Asking) -> None:
    asking.write("run/a")
    asking.write("run/deep/b")
    shown: list[int] = []
    reader = Reader(asking.store)
    settings = settings_of(asking.folder)
    answer(settings, reader, asking.root_fd, "run", clock_ns=lambda: NOW_NS, on_progress=shown.append)

    assert shown == [1, 2]
    assert asked.MOST_NAMED == MOST_NAMED
