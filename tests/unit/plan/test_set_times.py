"""What set_time.py counts and changes: under a folder item in flight, after a change of route, at the moment itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tasks_in_memory import settings_of
from tree_with_records import MTIME_NS, TreeWithRecords

from autotransfer.common.errors import ConfigurationProblem, UsageProblem
from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.common.times import NS_PER_SECOND
from autotransfer.datastore.evidence import ASSUMED, VERIFIED
from autotransfer.datastore.record import Delivered, InFlight, Retry
from autotransfer.datastore.store import APART, EMPTY_IS_MEANT, ITEM_LIMIT, RESCAN, RESET, SERVICE
from autotransfer.datastore.tasks import Item, Task
from autotransfer.datastore.twins import Doubt
from autotransfer.plan.set_times import ABANDONED, Counts, set_times

NOW_NS = 1_900_000_000 * NS_PER_SECOND


class Setting(TreeWithRecords):
    """A route with a tree, whose times are set."""

    def set(self, *scopes: str, moment_ns: int | None = NOW_NS, settings: Any = (), **options: Any) -> Counts:
        return set_times(
            settings_of(self.folder, **dict(settings)),
            self.store,
            self.root_fd,
            moment_ns=moment_ns,
            scopes=list(scopes) or [""],
            clock_ns=lambda: NOW_NS,
            **options,
        )

    def submit(self, number: int = 1) -> Task:
        task = Task(number, f"sub {number}", "label", "mtime", {}, "/s", "/d", 1, 5, 1, MTIME_NS)
        task = task.accepted(f"task-{number}", now_ns=MTIME_NS)
        self.store.put_items(number, [Item("run", "", 1, 5)])
        self.store.put_task(task)
        return task


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.close()


def delivered(size_bytes: int = 5, *, evidence: int = VERIFIED, task: int = 1, mtime_ns: int = MTIME_NS) -> Delivered:
    return Delivered(mtime_ns, size_bytes, MTIME_NS, task, evidence)


# ---- the moment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("later_ns", "is_transferred"), [(-1, False), (0, True), (1, True)])
def test_a_path_counts_from_its_own_mtime_on(setting: Setting, later_ns: int, is_transferred: bool) -> None:
    setting.write("a")
    counts = setting.set(moment_ns=MTIME_NS + later_ns)

    assert (counts.transferred, counts.to_send) == ((1, 0) if is_transferred else (0, 1))
    records = setting.store.trie.folder("").delivered
    assert sorted(records) == (["a"] if is_transferred else [])
    if is_transferred:
        record = records["a"]
        assert (record.fingerprint, record.transferred_at_ns) == ((MTIME_NS, 5), MTIME_NS + later_ns)
        assert (record.task, record.evidence) == (0, ASSUMED)


@pytest.mark.parametrize(
    ("age_seconds", "is_now", "is_transferred"),
    [(11, True, True), (10, True, False), (9, True, False), (-10, True, False), (-11, True, True), (-11, False, False)],
)
def test_what_was_touched_a_moment_ago_is_sent_and_what_lies_in_the_future_counts_from_now(
    setting: Setting, age_seconds: int, is_now: bool, is_transferred: bool
) -> None:
    setting.write("a", mtime_ns=NOW_NS - age_seconds * NS_PER_SECOND)
    counts = setting.set(is_now=is_now, settings={"SETTLE_SECONDS": 10})

    assert (counts.transferred, counts.to_send) == ((1, 0) if is_transferred else (0, 1))


def test_never_sends_all_and_says_how_many_deliveries_that_concerns(setting: Setting) -> None:
    for name in ("proved", "assumed", "modified", "failed", "new"):
        setting.write(name)
    setting.record(
        "",
        delivered={
            "proved": delivered(),
            "assumed": delivered(evidence=ASSUMED, task=0),
            "modified": delivered(9),
            "failed": delivered(),
        },
        retries={"failed": Retry(MTIME_NS, 5, 2, 0, "SKIPPED", 1)},
    )
    counts = setting.set(moment_ns=None)

    assert counts == Counts(to_send=5, deliveries_dropped=1)
    folder = setting.store.trie.folder("")
    assert (folder.delivered, folder.retries) == ({}, {})
    assert setting.store.shelf[RESET] == (5, 25)


def test_what_globus_delivered_keeps_its_record(setting: Setting) -> None:
    setting.write("proved")
    setting.write("later", mtime_ns=NOW_NS - 5)
    kept = {"proved": delivered(), "later": delivered(mtime_ns=NOW_NS - 5)}
    setting.record("", delivered=dict(kept))
    counts = setting.set(moment_ns=MTIME_NS)

    assert counts == Counts(transferred=2)
    assert setting.store.trie.folder("").delivered == kept


@pytest.mark.parametrize(("lag_ns", "kept"), [(0, VERIFIED), (1, ASSUMED)])
def test_a_file_whose_ctime_moved_is_not_what_globus_delivered(setting: Setting, lag_ns: int, kept: int) -> None:
    (setting.src / "a").write_text("12345")  # mtime and ctime are one moment
    status = (setting.src / "a").stat()
    recorded = status.st_ctime_ns - status.st_mtime_ns + lag_ns
    record = Delivered(status.st_mtime_ns, 5, MTIME_NS, 1, VERIFIED, recorded)
    setting.record("", delivered={"a": record})
    setting.set(settings={"COMPARE": "ctime"})

    found = setting.store.trie.folder("").delivered["a"]
    assert (found.evidence, found.ctime_lag_ns) == (kept, recorded - lag_ns)


def test_an_empty_folder_counts_by_its_own_time(setting: Setting) -> None:
    (setting.src / "empty").mkdir()
    os.utime(setting.src / "empty", ns=(MTIME_NS, MTIME_NS))

    assert setting.set(moment_ns=MTIME_NS - 1).to_send == 1
    assert setting.set(moment_ns=MTIME_NS).transferred == 1
    assert list(setting.store.trie.folder("empty").delivered) == [FOLDER_ITSELF]


# ---- in flight ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment_ns", [NOW_NS, None], ids=["now", "never"])
def test_a_file_in_flight_is_counted_and_left_as_it_is(setting: Setting, moment_ns: int | None) -> None:
    setting.write("flying")
    setting.write("other")
    flying = {"flying": InFlight(MTIME_NS, 5, 1)}
    setting.record("", in_flight=dict(flying))
    counts = setting.set(moment_ns=moment_ns)

    assert (counts.in_flight, counts.transferred + counts.to_send) == (1, 1)
    assert setting.store.trie.folder("").in_flight == flying


@pytest.mark.parametrize("moment_ns", [NOW_NS, None], ids=["now", "never"])
@pytest.mark.parametrize("scope", ["", "run", "run/deep", "run/deep/new"])
def test_new_files_under_a_folder_item_in_flight_are_neither_transferred_nor_to_be_sent(
    setting: Setting, scope: str, moment_ns: int | None
) -> None:
    setting.submit()
    setting.write("run/deep/old")
    setting.record("run", carried_by=1, folders={"deep"})
    setting.record("run/deep", carried_by=1, in_flight={"old": InFlight(MTIME_NS, 5, 1)})
    setting.write("run/deep/new")
    counts = setting.set(scope, moment_ns=moment_ns)

    assert (counts.transferred, counts.to_send) == (0, 0)
    assert counts.in_flight == (1 if scope == "run/deep/new" else 2)
    assert setting.store.trie.folder("run/deep").delivered == {}


@pytest.mark.parametrize("moment_ns", [NOW_NS, None], ids=["now", "never"])
def test_a_new_folder_under_a_folder_item_in_flight_inherits_its_task(setting: Setting, moment_ns: int | None) -> None:
    setting.submit()
    setting.record("run", carried_by=1)
    setting.write("run/new/deep/a")
    counts = setting.set(moment_ns=moment_ns)

    assert counts == Counts(in_flight=1)
    assert setting.store.trie.folder("run/new/deep").delivered == {}


def test_a_new_folder_inherits_the_doubt_of_those_above_it(setting: Setting) -> None:
    setting.record("run", verify_until_ns=MTIME_NS + 7)
    setting.write("run/new/a")
    setting.set()

    assert setting.store.trie.folder("run/new").verify_until_ns == MTIME_NS + 7


# ---- scopes ------------------------------------------------------------------------------------------------------


def test_only_what_is_in_scope_changes_and_nothing_counts_twice(setting: Setting) -> None:
    for rel_path in ("a", "ab/x", "run/1", "run/deep/2", "other/3"):
        setting.write(rel_path)
    setting.store.shelf[RESCAN] = ""
    counts = setting.set("run", "run/deep", "run", "a", moment_ns=None)

    assert counts.to_send == 3
    assert setting.store.shelf[RESET] == (3, 15)
    assert setting.store.shelf[RESCAN] == "a\0run\0run/deep"
    assert setting.set("other", moment_ns=None).to_send == 1
    assert setting.store.shelf[RESET] == (4, 20)
    assert setting.set(moment_ns=None).to_send == 5
    assert setting.store.shelf[RESET] == (5, 25)


def test_a_new_record_deep_in_the_tree_is_found_from_its_top(setting: Setting) -> None:
    setting.write("run/deep/a")
    setting.set("run/deep/a")

    assert [setting.store.trie.folder(rel_path).folders for rel_path in ("", "run")] == [{"run"}, {"deep"}]


def test_nothing_to_send_is_left_for_no_feed(setting: Setting) -> None:
    setting.write("a")
    setting.store.shelf[RESCAN] = ""
    setting.set("a")

    assert setting.store.shelf[RESCAN] == ""


@pytest.mark.parametrize(
    ("scope", "says"), [("gone", "does not exist"), ("a.tmp", "EXCLUDE"), ("link", "symlink"), ("no/such", "does not")]
)
def test_a_scope_that_is_never_sent_is_refused(setting: Setting, scope: str, says: str) -> None:
    setting.write("a.tmp")
    if scope == "link":
        (setting.src / "link").symlink_to("a.tmp")
    with pytest.raises(UsageProblem, match=says):
        setting.set(scope, settings={"EXCLUDE": ["*.tmp"]})


def test_records_of_what_is_gone_are_dropped(setting: Setting) -> None:
    setting.write("a")
    setting.record("", delivered={"gone": delivered(), "a": delivered()}, folders={"old"})
    setting.record("old", delivered={"x": delivered()})
    setting.set()

    folder = setting.store.trie.folder("")
    assert (sorted(folder.delivered), folder.folders) == (["a"], set())
    assert "old" not in setting.store.trie


def test_a_single_file_leaves_the_records_beside_it(setting: Setting) -> None:
    setting.write("a")
    setting.record("", delivered={"gone": delivered()}, folders={"old"})
    setting.set("a")

    folder = setting.store.trie.folder("")
    assert (sorted(folder.delivered), folder.folders) == (["a", "gone"], {"old"})


def test_all_of_the_tree_forgets_what_was_learned_of_the_route(setting: Setting) -> None:
    for key, value in ((ITEM_LIMIT, 5), (APART, ["x"])):
        setting.store.shelf[key] = value
    setting.write("a")
    setting.set("a")
    assert setting.store.shelf.get(ITEM_LIMIT) == 5
    setting.set()

    assert [setting.store.shelf.get(key) for key in (ITEM_LIMIT, APART)] == [None, None]


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_tree_is_meant_to_be_empty_only_where_it_is(setting: Setting, is_empty: bool) -> None:
    if not is_empty:
        setting.write("a")
    setting.set()

    assert setting.store.shelf.get(EMPTY_IS_MEANT) is (True if is_empty else None)


# ---- another route -----------------------------------------------------------------------------------------------

MOVED = {"DST_DIR": "/elsewhere/src"}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_open_tasks_of_another_route_are_archived_and_counted(setting: Setting, count: int) -> None:
    setting.write("run/a")
    setting.set()
    for number in range(1, count + 1):
        setting.submit(number)
    setting.record("run", carried_by=1, in_flight={"a": InFlight(MTIME_NS, 5, 1)})
    setting.store.twins.put("run", Doubt(names=("a", "A")))
    counts = setting.set(settings=MOVED)

    ended = list(setting.store.history())
    assert counts == Counts(transferred=1, abandoned_tasks=count)
    assert (setting.store.ledger.open, len(ended)) == ({}, count)
    for task in ended:
        assert isinstance(task, Task)
        assert (task.state, task.ended_at_ns) == (ABANDONED, NOW_NS)
        assert (task.reason, task.arrived, task.returned) == ("the route was changed", 0, 0)
        assert setting.store.items(task.number) == []
    folder = setting.store.trie.folder("run")
    assert (folder.carried_by, folder.in_flight, folder.delivered["a"].evidence) == (0, {}, ASSUMED)
    assert list(setting.store.twins) == []


def test_records_of_another_route_go_with_it_also_where_nothing_is_there_now(setting: Setting) -> None:
    setting.write("a")
    setting.set()
    setting.record("gone", delivered={"x": delivered()})
    setting.set(settings=MOVED, moment_ns=None)

    assert "gone" not in setting.store.trie
    assert not setting.store.trie.folder("").delivered


def test_the_same_route_keeps_its_open_tasks(setting: Setting) -> None:
    setting.write("a")
    setting.set()
    setting.submit()

    assert setting.set().abandoned_tasks == 0
    assert list(setting.store.ledger.open) == [1]


def test_a_part_of_another_route_is_refused(setting: Setting) -> None:
    setting.write("a")
    setting.set()
    setting.submit()
    with pytest.raises(ConfigurationProblem, match="another route"):
        setting.set("a", settings=MOVED)

    assert list(setting.store.ledger.open) == [1]


@pytest.mark.parametrize("new_service", ["", "another"])
def test_another_service_takes_over_only_where_it_is_named(setting: Setting, new_service: str) -> None:
    setting.write("a")
    setting.set()
    name = settings_of(setting.folder).service.name
    setting.store.shelf[SERVICE] = "rehearsal"
    setting.submit()
    with pytest.raises(ConfigurationProblem, match="rehearsal"):
        setting.set(new_service=new_service)
    with pytest.raises(ConfigurationProblem, match="rehearsal"):
        setting.set("a", new_service=name)

    assert setting.set(new_service=name).abandoned_tasks == 1
    assert setting.store.shelf[SERVICE] == name
