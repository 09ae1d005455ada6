"""What is called delivered, and on what evidence: counts, lists and skips of ended tasks, also those that do not fit.

Against the second service (support/small_globus.py), so that client and emulator cannot share a mistake.
"""

from __future__ import annotations

import os
import time
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from evidence_kept import recorded
from small_globus import CHECKSUM, SmallGlobus, SmallTask
from suite import LONG_AGO, Route

from autotransfer.datastore.store import Store
from autotransfer.transfer import ended


def rewrite_and_put_its_time_back(path: Path, content: str) -> None:
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_text(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def open_tasks(route: Route) -> int:
    with Store(str(route.code_path / "datastore"), is_read_only=True) as store:
        return len(store.ledger.open)


def test_what_globus_copied_and_verified_is_verified(there: Route, service: SmallGlobus) -> None:
    for rel_path in ("top", "scan/a", "scan/deep/b"):
        there.write(rel_path)
    there.deliver_here()

    assert recorded(there) == dict.fromkeys(("top", "scan/a", "scan/deep/b"), "verified")


@pytest.mark.parametrize("says", [{"disable_verify": True}, {"disable_verify": None}])
def test_a_collection_that_does_not_verify_leaves_it_at_transferred(
    there: Route, service: SmallGlobus, says: dict[str, Any]
) -> None:
    service.collection = says
    there.write("a")
    there.write("scan/b")
    there.deliver_here()

    assert recorded(there) == {"a": "transferred", "scan/b": "transferred"}


@pytest.mark.parametrize("level", ["verified", "equal"])
def test_what_may_have_changed_under_the_transfer_with_its_time_put_back_is_not_proved(
    there: Route, service: SmallGlobus, level: str
) -> None:
    """The record describes what was found before the task; the task may have carried either content."""
    path = there.write("a", "before")
    if level == "equal":
        there.deliver_here()
        there.run_here("set_time.py", "never")
    service.is_held = True
    there.summary_here()
    rewrite_and_put_its_time_back(path, "second")
    service.is_held = False
    there.deliver_here()

    assert recorded(there) == {"a": "found"}
    there.run_here("status.py", "--path", str(path), status=3, says="its ctime has changed since")

    there.run_here("set_time.py", "never")
    there.deliver_here()

    assert recorded(there) == {"a": "equal"}
    there.run_here("status.py", "--path", str(path))
    assert there.tree(there.dst) == there.tree()


@pytest.mark.parametrize("files", ["as carried", None, "2", True])
def test_a_file_that_globus_did_not_see_is_sent_again_though_the_numbers_agree(
    there: Route, service: SmallGlobus, files: Any
) -> None:
    """A folder item loses one file and gains another; or Globus does not count at all."""
    service.is_held = True
    there.write("scan/a")
    lost = there.write("scan/b")
    there.summary_here()
    there.write("scan/c")
    service.seen = lambda path: None if path == str(lost) else path
    if files != "as carried":
        service.after = lambda task: task.document.update(files=files)
    service.is_held = False

    there.run_here("main.py", "--json", status=None)
    between = recorded(there)
    service.seen, service.after = lambda path: path, lambda task: None
    there.deliver_here()
    there.deliver_here()

    assert between["scan/b"] in ("retrying NOT_LISTED", "in flight")
    assert recorded(there)["scan/b"] == "verified"
    assert there.tree(there.dst) == there.tree()


def test_a_modification_that_globus_took_for_current_is_compared_by_checksum(
    there: Route, service: SmallGlobus
) -> None:
    """The copy is dated in the future, as one that came from a machine with a wrong clock."""
    hour = 3600
    there.write("cal", "one")
    there.deliver_here()
    os.utime(there.dst / "cal", (time.time() + 2 * hour,) * 2)

    there.write("cal", "two", mtime_seconds=time.time() + hour)
    there.deliver_here()
    after_first = recorded(there)
    there.deliver_here()

    assert after_first == {"cal": "retrying NOT_COPIED"}
    assert service.newest.posted["sync_level"] == CHECKSUM
    assert recorded(there) == {"cal": "verified"}
    assert there.tree(there.dst) == there.tree()


def test_a_populated_archive_is_found_and_not_read_again(there: Route, service: SmallGlobus) -> None:
    for name in ("scan/a", "scan/b"):
        there.write(name, name)
    there.deliver_here()
    there.begin_anew()

    there.deliver_here()
    there.deliver_here()

    assert recorded(there) == {"scan/a": "found", "scan/b": "found"}
    assert len(service.tasks) == 2


def test_an_unchanged_copy_compared_by_checksum_is_equal(there: Route, service: SmallGlobus) -> None:
    there.write("a")
    there.deliver_here()
    there.run_here("set_time.py", "never")
    there.deliver_here()

    assert service.newest.posted["sync_level"] == CHECKSUM
    assert recorded(there) == {"a": "equal"}


def test_a_copy_that_is_shorter_than_the_file_is_not_delivered(there: Route, service: SmallGlobus) -> None:
    """The transfer node saw the file as it was before: its row names fewer bytes, and so do the counts."""
    there.write("frame", "0123456789")
    before = there.folder / "before"
    before.write_text("0123")
    service.seen = lambda path: str(before) if path.endswith("/frame") else path

    there.deliver_here()
    first = recorded(there)
    there.deliver_here()
    second = recorded(there)
    service.seen = lambda path: path
    there.deliver_here()

    assert first == second == {"frame": "retrying SIZE_DIFFERS"}
    assert recorded(there) == {"frame": "verified"}


def assert_differs_until_it_is_seen(there: Route, service: SmallGlobus) -> None:
    """The file is retried and in no manifest while the node sees another version, and arrives when it sees this one."""
    there.deliver_here()
    there.deliver_here()
    meanwhile = recorded(there)
    there.run_here("status.py", "--manifest", str(there.folder / "listed.csv"))
    service.seen = lambda path: path
    there.deliver_here()

    assert meanwhile == {"frame": "retrying SIZE_DIFFERS"}
    assert "frame" not in (there.folder / "listed.csv").read_text()
    assert recorded(there) == {"frame": "verified"}
    assert there.tree(there.dst) == there.tree()


def test_a_copy_of_another_size_is_not_equal_though_the_file_changed_since(there: Route, service: SmallGlobus) -> None:
    """The node goes on seeing what it copied first, which nothing else is recorded of."""
    there.write("frame", "0123456789")
    before = there.folder / "before"
    before.write_text("0123")
    service.seen = lambda path: str(before) if path.endswith("/frame") else path

    there.deliver_here()
    service.is_held = True
    there.summary_here()
    there.write("frame", "9876543210", mtime_seconds=LONG_AGO + 100)
    service.is_held = False
    assert_differs_until_it_is_seen(there, service)


def test_a_copy_of_another_size_is_not_equal_though_the_file_changed_under_the_transfer(
    there: Route, service: SmallGlobus
) -> None:
    """The node goes on seeing what it copied, and finds that equal to the copy."""
    there.write("frame", "0123456789")
    before = there.folder / "before"
    before.write_text("0123456789")
    service.is_held = True
    there.summary_here()
    there.write("frame", "0123456789 and more", mtime_seconds=LONG_AGO + 100)
    service.seen = lambda path: str(before) if path.endswith("/frame") else path
    service.is_held = False
    assert_differs_until_it_is_seen(there, service)


def test_rows_without_sizes_need_all_the_bytes(there: Route, service: SmallGlobus) -> None:
    service.row_sizes = False
    before = there.folder / "before"
    before.write_text("0123")
    there.write("scan/a", "0123456789")
    there.write("scan/b", "0123456789")
    service.seen = lambda path: str(before) if path.endswith("/a") else path

    there.deliver_here()
    first = recorded(there)
    service.seen = lambda path: path
    there.deliver_here()

    # One of the two is known to be short, so a comparison that finds one current does not prove it.
    assert first == dict.fromkeys(("scan/a", "scan/b"), "retrying BYTES_MISSING")
    assert recorded(there) == {"scan/a": "verified", "scan/b": "found"}


def spelled(source_path: str, spelling: str) -> str:
    if spelling == "percent":
        return quote(source_path)
    if spelling == "nfd":
        return unicodedata.normalize("NFD", source_path)
    if spelling == "slashes":
        return source_path.replace("/", "//")
    return "/mnt/guest" + source_path[source_path.index("/src/") + 4 :]


@pytest.mark.parametrize("spelling", ["percent", "nfd", "slashes", "root"])
def test_rows_that_spell_a_path_otherwise_are_recognized(there: Route, service: SmallGlobus, spelling: str) -> None:
    for name in ("scan é/a b", "scan é/ü", "scan é/deep/c"):
        there.write(name)
    unread = there.write("scan é/unread é")
    service.seen = lambda path: None if path == str(unread) else path

    def respell(task: SmallTask) -> None:
        for row in [*task.successful, *task.skipped]:
            row["source_path"] = spelled(row["source_path"], spelling)

    service.after = respell
    there.run_here("main.py", "--json", "--wait", "60", status=3, says="unread")

    assert recorded(there) == {
        "scan é/a b": "verified",
        "scan é/ü": "verified",
        "scan é/deep/c": "verified",
        "scan é/unread é": "retrying FILE_NOT_FOUND",
    }


@pytest.mark.parametrize("count", [None, "2", 5, True])
def test_only_what_is_listed_counts_when_skips_do_not_fit(there: Route, service: SmallGlobus, count: Any) -> None:
    """A count that is missing, no number, or larger than its list; each further attempt waits longer."""
    for name in "abc":
        there.write(f"scan/{name}")
    (there.dst / "scan").mkdir(parents=True)
    (there.dst / "scan/a").write_text("content")  # taken for current, so not listed
    service.after = lambda task: task.document.update(subtasks_skipped_errors=count)

    submitted = [there.run_here("main.py", "--json", "--wait", "60", status=None).json["submitted"] for _ in range(5)]

    found = recorded(there)
    assert {found["scan/b"], found["scan/c"]} == {"verified"}
    assert found["scan/a"] == "retrying SKIPPED"
    assert submitted == [1, 1, 0, 0, 0]


def test_pages_that_overlap_do_not_hide_a_path_that_no_page_lists(there: Route, service: SmallGlobus) -> None:
    service.page_size = 2
    for name in "abcd":
        there.write(f"scan/{name}")

    def overlap(task: SmallTask) -> None:
        a, b, c, _ = task.successful
        task.successful[:] = [a, b, b, c]

    service.after = overlap
    there.deliver_here()
    first = recorded(there)
    service.after = lambda task: None
    there.deliver_here()

    assert first == {**dict.fromkeys(("scan/a", "scan/b", "scan/c"), "verified"), "scan/d": "retrying NOT_LISTED"}
    assert recorded(there)["scan/d"] in ("found", "verified", "equal")


@pytest.fixture
def slow_list(monkeypatch: pytest.MonkeyPatch, service: SmallGlobus) -> None:
    """A list of which one page fits into a run."""
    service.page_size = 2
    monkeypatch.setattr(ended, "PAGES_A_RUN", 1)


@pytest.mark.usefixtures("slow_list")
def test_a_long_list_is_read_over_several_runs_and_holds_up_nothing(there: Route, service: SmallGlobus) -> None:
    for name in "abcde":
        there.write(f"scan/{name}")
    there.summary_here()

    there.summary_here()
    meanwhile = recorded(there)
    there.run_here("status.py", says="ended; its list is being read, 2 names so far")
    there.write("scan/e", "newer", mtime_seconds=LONG_AGO + 100)
    sent = there.summary_here()["submitted"]
    there.summary_here()
    there.summary_here()

    assert sorted(meanwhile.values()) == ["counted"] * 3 + ["verified"] * 2
    assert sent == 1
    assert {recorded(there)[f"scan/{name}"] for name in "abcd"} == {"verified"}
    there.deliver_here()
    assert (set(recorded(there).values()), open_tasks(there)) == ({"verified"}, 0)
    assert there.tree(there.dst) == there.tree()


@pytest.mark.usefixtures("slow_list")
def test_what_was_counted_and_is_not_listed_is_sent_again(there: Route, service: SmallGlobus) -> None:
    for name in "abcde":
        there.write(f"scan/{name}")

    def lose_one(task: SmallTask) -> None:
        if len(service.tasks) == 1:
            (there.dst / "scan/e").unlink()
            task.successful[:] = task.successful[:4]

    service.after = lose_one
    there.summary_here()
    there.summary_here()
    counted = recorded(there)["scan/e"]
    for _ in range(3):
        there.summary_here()
    there.deliver_here()

    assert counted == "counted"
    assert [item["source_path"] for item in service.newest.posted["DATA"]] == [str(there.src / "scan/e")]
    assert recorded(there)["scan/e"] == "verified"
    assert there.tree(there.dst) == there.tree()


@pytest.mark.usefixtures("slow_list")
def test_without_agreement_nothing_counts_before_it_is_listed(there: Route, service: SmallGlobus) -> None:
    for name in "abcde":
        there.write(f"scan/{name}")
    service.after = lambda task: task.document.update(files=4)
    there.summary_here()
    there.summary_here()

    assert sorted(recorded(there).values()) == ["in flight"] * 3 + ["verified"] * 2


def refuse(service: SmallGlobus, status: int) -> None:
    service.answer = lambda method, path, query, body: (
        (status, {"code": "ClientError.Gone", "message": "gone", "request_id": "x"}) if "_transfers" in path else None
    )


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_list_that_is_refused_at_first_is_asked_for_again(there: Route, service: SmallGlobus, status: int) -> None:
    there.write("scan/a")
    refuse(service, status)
    there.summary_here()
    there.summary_here()
    first = recorded(there)
    service.answer = lambda *request: None
    there.deliver_here()

    assert first == {"scan/a": "in flight"}
    assert (recorded(there), len(service.tasks)) == ({"scan/a": "verified"}, 1)


def test_a_list_that_is_refused_for_good_proves_nothing(
    there: Route, service: SmallGlobus, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.write("scan/a")
    refuse(service, 410)
    there.summary_here()
    there.summary_here()
    monkeypatch.setattr(ended, "REFUSED_FOR_GOOD_NS", 0)
    there.run_here("main.py", status=3, says="ended, and Globus no longer lists what it transferred")
    closed = recorded(there)
    there.run_here("main.py", "--wait", "60", status=None)

    # As a file item by checksum its counts alone say that nothing was copied, so the list is asked for once more.
    assert closed["scan/a"] in ("retrying LIST_REFUSED", "in flight")
    service.answer = lambda *request: None
    there.run_here("main.py", "--wait", "60", status=None)
    assert set(recorded(there).values()) <= {"equal", "verified", "retrying LIST_REFUSED"}


def test_a_task_whose_history_is_deleted_is_closed_with_nothing_credited(there: Route, service: SmallGlobus) -> None:
    there.write("scan/a")
    service.after = lambda task: task.document.update(history_deleted=True)
    there.summary_here()
    there.run_here("main.py", status=3, says="Its 1 path will be retried, compared by checksum.")

    assert recorded(there)["scan/a"] in ("retrying LIST_REFUSED", "in flight")
    assert open_tasks(there) <= 1


@pytest.mark.parametrize("value", [None, "", "not-a-uuid", 5])
def test_a_submission_id_that_is_none_is_refused(there: Route, service: SmallGlobus, value: Any) -> None:
    there.write("a")
    service.answer = lambda method, path, query, body: (200, {"value": value}) if "submission_id" in path else None

    there.run("main.py", status=6, says="did not give a usable submission_id")

    assert (service.tasks, recorded(there), open_tasks(there)) == ({}, {}, 0)


def test_one_submission_id_for_two_tasks_is_refused(there: Route, service: SmallGlobus) -> None:
    """As a cache between here and Globus would answer: the second task would be dropped as a duplicate."""
    there.configure(MAX_ITEMS_PER_TASK=1)
    there.write("a")
    there.write("b")
    same = (200, {"value": "11111111-2222-4333-8444-555555555555"})
    service.answer = lambda method, path, query, body: same if "submission_id" in path else None

    there.run("main.py", status=6, says="the submission_id of an earlier task")
    nothing = (dict(service.tasks), recorded(there))
    service.answer = lambda *request: None
    there.deliver_here()

    assert nothing == ({}, {})
    assert recorded(there) == {"a": "verified", "b": "verified"}


def test_a_submission_id_of_an_ended_task_is_refused(there: Route, service: SmallGlobus) -> None:
    there.write("a")
    there.deliver_here()
    used = service.newest.posted["submission_id"]
    there.write("b")
    service.answer = lambda method, path, query, body: (200, {"value": used}) if "submission_id" in path else None

    there.run("main.py", status=6, says="the submission_id of an earlier task")

    assert (len(service.tasks), recorded(there)) == (1, {"a": "verified"})


def test_a_duplicate_is_believed_only_under_its_own_label(there: Route, service: SmallGlobus) -> None:
    """The answer names another task, which has ended well: nothing of ours may count by it."""
    there.write("a")
    there.deliver_here()
    other = service.newest.task_id
    there.write("b")
    service.answer = lambda method, path, query, body: (
        (200, {"code": "Duplicate", "task_id": other, "message": "", "request_id": "x"})
        if (method, path) == ("POST", "/v0.10/transfer")
        else None
    )

    there.run("main.py", status=6, says=f"a duplicate of {other}, which does not have this label")
    between = (recorded(there), open_tasks(there))
    service.answer = lambda *request: None
    there.deliver_here()

    assert between == ({"a": "verified", "b": "in flight"}, 1)
    assert recorded(there) == {"a": "verified", "b": "verified"}
    assert there.tree(there.dst) == there.tree()


def test_a_node_that_shows_the_file_before_its_modification_never_makes_it_equal(
    there: Route, service: SmallGlobus
) -> None:
    path = there.write("a", "before")
    there.deliver_here()
    before = there.folder / "before"
    before.write_text("before")
    os.utime(before, (LONG_AGO, LONG_AGO))
    service.seen = lambda source: str(before) if source == str(path) else source

    there.write("a", "after, and longer", mtime_seconds=LONG_AGO + 100)
    there.deliver_here()
    there.deliver_here()
    stale = recorded(there)
    service.seen = lambda source: source
    there.run_here("set_time.py", "never", "--path", "a")
    there.deliver_here()

    assert stale == {"a": "retrying SIZE_DIFFERS"}
    assert recorded(there) == {"a": "verified"}


def test_words_that_no_file_can_hold_do_not_end_a_run(there: Route, service: SmallGlobus) -> None:
    def spoil(task: SmallTask) -> None:
        task.successful[0]["source_path"] = "/\ud800"
        task.document["completion_time"] = "0001-01-01T00:00:00Z"

    there.write("scan/a")
    there.write("scan/b")
    service.page_size = 1
    service.after = spoil
    there.deliver_here()
    service.after = lambda task: None
    there.deliver_here()

    assert set(recorded(there).values()) <= {"verified", "found", "equal"}


def test_an_empty_src_dir_of_a_route_with_records_is_not_proved(there: Route, service: SmallGlobus) -> None:
    """A disk that is not mounted."""
    there.write("a").parent.mkdir(exist_ok=True)
    there.deliver_here()
    (there.src / "a").unlink()

    there.run("status.py", "--path", str(there.src), status=3)


def test_what_was_only_found_is_proved_by_sending_it_again(there: Route, service: SmallGlobus) -> None:
    """As a file item by checksum: in a folder item a file that is current is never equal, only found."""
    there.write("run/a")
    there.write("run/deep/b")
    there.deliver_here()
    there.begin_anew()
    there.deliver_here()
    found = recorded(there)

    there.run_here("set_time.py", "never", "--path", "run")
    there.deliver_here()

    assert found == {"run/a": "found", "run/deep/b": "found"}
    assert recorded(there) == {"run/a": "equal", "run/deep/b": "equal"}
    there.run_here("status.py", "--path", "run", says="yes, all of it")


def test_a_list_that_asks_for_a_sign_in_is_not_refused(there: Route, service: SmallGlobus) -> None:
    there.write("scan/a")
    demand = {"session_message": "again", "session_required_identities": ["x"]}
    refusal = (403, {"code": "PermissionDenied", "message": "again", "authorization_parameters": demand})
    service.answer = lambda method, path, query, body: refusal if "_transfers" in path else None
    there.summary_here()

    there.run("main.py", status=4)
    service.answer = lambda *request: None
    there.deliver_here()

    assert (recorded(there), len(service.tasks)) == ({"scan/a": "verified"}, 1)


@pytest.mark.parametrize("answer", [(500, {"code": "Broken"}), (200, {"next_marker": None})])
def test_a_list_that_cannot_be_had_for_days_is_given_up(
    there: Route, service: SmallGlobus, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    there.write("scan/a")
    service.answer = lambda method, path, query, body: answer if "_transfers" in path else None
    there.summary_here()
    first = there.run_here("main.py", "--json", status=None)
    before = (recorded(there), open_tasks(there))

    monkeypatch.setattr(ended, "FAILING_FOR_GOOD_NS", 0)
    there.run_here("main.py", status=3, says="ended, and Globus no longer lists what it transferred")

    assert first.status != 0
    assert before == ({"scan/a": "in flight"}, 1)
    assert recorded(there)["scan/a"] in ("retrying LIST_REFUSED", "in flight")


def test_a_node_that_shows_another_size_than_the_copy_has_never_makes_it_equal_though_the_file_changes_meanwhile(
    there: Route, service: SmallGlobus
) -> None:
    before = there.folder / "before"
    before.write_text("")
    there.write("a", "")
    there.deliver_here()
    service.seen = lambda path: str(before) if path.endswith("/a") else path
    there.write("a", "one", mtime_seconds=LONG_AGO - 100)
    there.summary_here()
    there.write("a", "two", mtime_seconds=LONG_AGO - 50)  # while a task carries it

    found = []
    for _ in range(6):
        there.run_here("main.py", status=None)
        found.append(recorded(there)["a"])

    assert not {"equal", "verified", "found"}.intersection(found), found
    service.seen = lambda path: path
    there.run_here("main.py", "--wait", "60", status=None)
    there.run_here("set_time.py", "never")
    there.deliver_here()
    assert recorded(there)["a"] in ("verified", "equal")
    assert there.tree(there.dst) == there.tree()
