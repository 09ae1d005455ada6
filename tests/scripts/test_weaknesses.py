"""The weaknesses of an earlier suite of this kind, one section each: every test fails where one of them comes back.

Number 16 (a check of the configuration that checks little) is in scripts/test_test_config.py.
"""

from __future__ import annotations

import functools
import os
import shutil
import stat
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import requests
from programs import path_of
from suite import DST_ID, LONG_AGO, SRC_ID, Route
from waiting import until_held

from autotransfer.datastore.store import FORMAT_VERSION
from autotransfer.scan.folders import open_root, walk
from autotransfer.scan.listing import Policy
from emulator.http.server import Emulator

MTIME, CHECKSUM = 2, 3  # sync levels
HOUR, DAY = 3600, 86400


def last_sent(route: Route) -> set[str]:
    """The paths of the last task's items."""
    return route.sent_paths(route.sent()[-1])


def deliver_change(route: Route) -> set[str]:
    """Run until the change has arrived; gives the paths of all items that were sent for it."""
    before = len(route.sent())
    route.deliver_here()
    assert route.tree(route.dst) == route.tree()
    return {path for document in route.sent()[before:] for path in route.sent_paths(document)}


@functools.cache
def permission_bound() -> tuple[str, ...]:
    """The words that make a command respect permissions also where the tests run as root."""
    if os.geteuid() != 0:
        return ()
    drop = "-dac_override,-dac_read_search"
    words = ("setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}")
    path_of("setpriv")
    if subprocess.run([*words, "true"], check=False).returncode != 0:
        pytest.skip("root reads everything here, and setpriv cannot take that away")
    return words


def run_permission_bound(route: Route, *words: str) -> Any:
    """Run a script as a user for whom permissions count."""
    return subprocess.run(
        [*permission_bound(), *route.command(*words)],
        env=route.bare_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# ---- 1 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, 1, 2, 6])
def test_an_edit_in_place_is_found_however_deep_it_lies(route: Route, depth: int) -> None:
    """Weakness 1: only the top folder's own time was looked at, which an edit does not move."""
    deep = "".join(f"level{number}/" for number in range(depth))
    route.write(f"{deep}file.dat", "one")
    route.write(f"{deep}other.dat", "same")
    route.deliver_here()
    folder_before = os.stat(route.src / deep)
    route.write(f"{deep}file.dat", "two", mtime_seconds=LONG_AGO + 60)
    os.utime(route.src / deep, ns=(folder_before.st_atime_ns, folder_before.st_mtime_ns))

    assert deliver_change(route) == {f"{deep}file.dat"}


def test_a_file_added_below_the_first_level_is_found_though_the_top_folder_did_not_change(route: Route) -> None:
    """Weakness 1: what was added further down never started a scan."""
    route.write("run1/scan1/a.dat")
    route.deliver_here()
    top_before = os.stat(route.src).st_mtime_ns
    route.write("run1/scan1/b.dat")
    route.write("run1/scan2/c.dat")
    assert os.stat(route.src).st_mtime_ns == top_before

    assert deliver_change(route) == {"run1/scan1/b.dat", "run1/scan2/"}


# ---- 2 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "exit_status"), [(400, 3), (403, 6), (409, 6), (500, 6), (503, 6)])
def test_a_failed_submission_is_tried_again_though_nothing_changed_since(
    route: Route, globus: Emulator, status: int, exit_status: int
) -> None:
    """Weakness 2: a submission that failed counted as a run that had looked at everything."""
    globus.world.add_fault("POST /v0.10/transfer", times=None, status=status, headers={"Retry-After": "0"})
    route.write("a.dat")
    route.run("main.py", status=exit_status)
    assert route.sent() == []
    globus.world.clear_faults()

    assert deliver_change(route) == {"a.dat"}


def test_an_unreachable_globus_is_tried_again(route: Route, globus: Emulator) -> None:
    """Weakness 2: the same, where no answer came at all."""
    globus.world.add_fault("GET /v0.10/*", times=None, reset="before")
    route.write("a.dat")
    route.run("main.py", status=6, says="cannot be reached")
    globus.world.clear_faults()

    assert deliver_change(route) == {"a.dat"}


# ---- 3 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["fail", "cancel", "expire"])
def test_a_task_that_did_not_succeed_does_not_count_as_a_transfer(route: Route, globus: Emulator, outcome: str) -> None:
    """Weakness 3: paths were marked as transferred right after the submission, whatever became of the task."""
    globus.world.add_outcome(outcome, times=1, after_files=0)
    route.write("a.dat")
    route.write("folder/b.dat")
    route.run_here("main.py")

    again = route.summary("--wait", "60", status=3)

    assert (again["failed"], again["retried"], again["submitted"]) == (1, 2, 1)
    assert route.tree(route.dst) == route.tree()
    assert route.summary()["submitted"] == 0


def test_the_task_is_known_to_later_runs_until_it_has_ended(route: Route, globus: Emulator) -> None:
    """Weakness 3: the task's id was only written to the log, so no later run could ask what became of it."""
    globus.world.set_progress("polls:4")
    route.write("a.dat")
    (task_id,) = route.summary()["task_ids"]

    under_way = [route.summary()["in_flight_tasks"] for _ in range(3)]

    assert under_way == [1, 1, 1]
    assert route.summary()["delivered"] == 1
    asked = [call.path for call in globus.world.requests if "/task/" in call.path]
    assert set(asked) == {f"/v0.10/task/{task_id}"}


def test_half_a_file_that_a_failed_task_left_behind_is_replaced(route: Route, globus: Emulator) -> None:
    """Weakness 3: what a failed task leaves is newer than its source, so comparing times alone would keep it."""
    globus.world.add_outcome("half", path="*/big.dat", times=1)
    route.write("big.dat", "x" * 1000)
    route.run_here("main.py")
    assert (route.dst / "big.dat").stat().st_size == 500

    route.summary("--wait", "60", status=3)

    assert route.sent()[-1]["sync_level"] == CHECKSUM
    assert route.tree(route.dst) == route.tree()


# ---- 4 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata"])
def test_a_file_modified_later_on_the_day_given_to_set_time_is_sent(route: Route, zone: str) -> None:
    """Weakness 4: two formats of one time were compared as texts, so the rest of that day was missed."""
    route.environment["TZ"] = zone
    day = "2023-11-14"
    seconds = subprocess.run(
        ["date", "-d", f"{day} 00:00", "+%s"], env={**os.environ, "TZ": zone}, capture_output=True, check=False
    )
    if seconds.returncode != 0:
        pytest.skip("date knows no -d here")
    midnight = int(seconds.stdout)
    route.write("the day before.dat", mtime_seconds=midnight - 60)
    route.write("at one.dat", mtime_seconds=midnight + 13 * HOUR)
    route.write("in the first second.dat", mtime_seconds=midnight + 1)

    route.run("set_time.py", f"{day}T00:00:00")
    route.deliver_here()

    assert last_sent(route) == {"at one.dat", "in the first second.dat"}


# ---- 5 -----------------------------------------------------------------------------------------------------------


def test_a_write_between_the_scan_and_the_submission_is_sent_by_a_later_run(route: Route, globus: Emulator) -> None:
    """Weakness 5: the time recorded was that of the submission, not the one that was seen on disk."""
    hold = globus.world.add_fault("GET /v0.10/submission_id", hold=True)
    route.write("a.dat", "first")
    process = route.start("main.py")
    until_held(hold, process)
    route.write("a.dat", "other", mtime_seconds=LONG_AGO + 10)
    hold.release()
    process.communicate(timeout=60)
    assert process.returncode == 0

    again = route.deliver()

    assert (again["delivered"], again["retrying"], again["submitted"]) == (1, 1, 1)
    assert [route.sent_paths(document) for document in route.sent()] == [{"a.dat"}, {"a.dat"}]
    assert route.tree(route.dst) == route.tree()


def test_a_write_after_the_copy_and_before_the_task_is_settled_is_not_lost(route: Route) -> None:
    """Weakness 5: the same, a little later: Globus has copied the old content, and the run has yet to ask."""
    route.write("a.dat", "first")
    route.run_here("main.py")
    assert (route.dst / "a.dat").read_text() == "first"
    route.write("a.dat", "other", mtime_seconds=LONG_AGO + 0.25)

    assert deliver_change(route) == {"a.dat"}


# ---- 6 -----------------------------------------------------------------------------------------------------------


def test_a_file_replaced_by_an_older_one_is_sent(route: Route) -> None:
    """Weakness 6: only newer times counted, so what cp -p, mv or tar put in place was missed."""
    route.write("a.dat", "content")
    route.deliver_here()
    older = route.folder / "older"
    older.write_text("CONTENT")
    os.utime(older, (LONG_AGO - DAY, LONG_AGO - DAY))
    shutil.move(older, route.src / "a.dat")

    assert deliver_change(route) == {"a.dat"}
    assert route.sent()[-1]["sync_level"] == CHECKSUM


@pytest.mark.parametrize("content", ["longer than before", "", "CONTENT"])
def test_a_second_write_in_the_same_second_is_sent(route: Route, content: str) -> None:
    """Weakness 6: times were compared in whole seconds, and sizes not at all."""
    route.write("a.dat", "content", mtime_seconds=LONG_AGO + 0.25)
    route.deliver_here()
    route.write("a.dat", content, mtime_seconds=LONG_AGO + 0.75)

    assert deliver_change(route) == {"a.dat"}


def test_another_size_with_the_very_same_time_is_sent(route: Route) -> None:
    """Weakness 6: the size did not count."""
    route.write("a.dat", "content")
    route.deliver_here()
    route.write("a.dat", "longer content")

    assert deliver_change(route) == {"a.dat"}


def test_a_change_in_the_hour_that_autumn_repeats_is_sent(route: Route) -> None:
    """Weakness 6: local times as texts go back when summer time ends, which hid an hour of changes."""
    route.environment["TZ"] = "Europe/Berlin"
    summer_half_past_two = 1_729_989_000  # 2024-10-27 02:30 CEST
    winter_ten_past_two = 1_729_991_400  # 2024-10-27 02:10 CET, 40 minutes later
    route.write("a.dat", "summer", mtime_seconds=summer_half_past_two)
    route.deliver_here()
    route.write("a.dat", "winter", mtime_seconds=winter_ten_past_two)

    assert deliver_change(route) == {"a.dat"}


def test_a_file_server_whose_clock_is_late_hides_no_change(route: Route) -> None:
    """Weakness 6: file times were compared with this computer's clock at the submission."""
    route.write("a.dat", "first", mtime_seconds=time.time() - 3 * HOUR)
    route.deliver_here()
    route.write("a.dat", "other", mtime_seconds=time.time() - 2 * HOUR)
    route.write("new.dat", mtime_seconds=time.time() - 2 * HOUR)

    assert deliver_change(route) == {"a.dat", "new.dat"}


def test_a_clock_that_is_ahead_neither_hides_a_change_nor_sends_twice(route: Route) -> None:
    """Weakness 6: the same, for a clock that is ahead: its files would be sent again and again."""
    route.write("a.dat", "first", mtime_seconds=time.time() + DAY)
    first = deliver_change(route)
    idle = route.summary()
    route.write("a.dat", "other", mtime_seconds=time.time() + 60)

    assert first == {"a.dat"}
    assert idle["submitted"] == 0
    assert deliver_change(route) == {"a.dat"}


# ---- 7 -----------------------------------------------------------------------------------------------------------


def test_names_that_differ_only_in_blanks_are_different_files(route: Route) -> None:
    """Weakness 7: blanks around names were cut off: such files were never sent, or stood for one another."""
    names = ["x", "x ", " x", " x ", "x\t", "x\n", "\u00a0x", " "]
    for name in names:
        route.write(name, repr(name))
        route.write(f"folder /{name}", repr(name))
        route.write(f"folder/{name}", repr(name))

    route.deliver_here()
    assert route.tree(route.dst) == route.tree()
    route.write("x ", "changed", mtime_seconds=LONG_AGO + 5)

    assert deliver_change(route) == {"x "}


# ---- 8 -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_becomes_a_file_and_a_file_that_becomes_a_folder_are_sent(route: Route) -> None:
    """Weakness 8: what had changed its kind was taken for what it had been."""
    route.write("a/inside.dat")
    route.write("b")
    route.write("same.dat")
    route.deliver_here()
    shutil.rmtree(route.src / "a")
    (route.src / "b").unlink()
    route.write("a", "now a file")
    route.write("b/inside.dat", "now in a folder")
    # Globus puts no file where a folder is, and nothing of ours deletes: the owner makes room.
    shutil.rmtree(route.dst / "a")
    (route.dst / "b").unlink()

    assert deliver_change(route) == {"a", "b/"}

    (route.src / "a").unlink()
    shutil.rmtree(route.src / "b")
    route.write("a/inside.dat", "a folder again")
    route.write("b", "a file again")
    (route.dst / "a").unlink()
    shutil.rmtree(route.dst / "b")

    assert deliver_change(route) == {"a/", "b"}


def test_records_of_deleted_paths_go_so_that_the_datastore_does_not_grow(route: Route) -> None:
    """Weakness 8: what had once been seen was kept for ever."""
    sizes_bytes = []
    for day in range(6):
        for number in range(40):
            for frame in range(10):
                route.write(f"day{day}/scan{number}/frame{frame:05} of a long measurement.tif", "x")
        route.run_here("set_time.py", "now")
        sizes_bytes.append((route.code_path / "datastore").stat().st_size)
        shutil.rmtree(route.src / f"day{day - 1}", ignore_errors=True)

    assert sizes_bytes[-1] <= sizes_bytes[2]


def test_a_run_forgets_a_deleted_folder_with_all_below_it(lonely_route: Route) -> None:
    """Weakness 8: the same, for main.py."""
    lonely_route.write("kept.dat")
    for number in range(5):
        lonely_route.write(f"gone/deep{number}/file.dat")
    lonely_route.run_here("set_time.py", "now")
    shutil.rmtree(lonely_route.src / "gone")

    first, second = lonely_route.summary(), lonely_route.summary()

    assert (first["vanished"], second["vanished"]) == (5, 0)


# ---- 9 -----------------------------------------------------------------------------------------------------------


def test_an_unreadable_folder_is_reported_and_everything_else_is_sent(route: Route) -> None:
    """Weakness 9: one folder that could not be read ended the whole run."""
    route.write("a.dat")
    route.write("closed/b.dat")
    route.write("z/c.dat")
    (route.src / "closed").chmod(0)
    try:
        done = run_permission_bound(route, "main.py", "--wait", "60")
    finally:
        (route.src / "closed").chmod(0o755)

    assert done.returncode == 3, done.stderr
    assert done.stderr == f"Skipped {route.src}/closed: permission denied.\nService: local, not Globus.\n"
    assert set(route.tree(route.dst)) == {"a.dat", "z", "z/c.dat"}


def test_records_below_a_folder_that_cannot_be_read_for_a_while_are_kept(route: Route) -> None:
    """Weakness 9: nor may it look as if its files were gone."""
    route.write("closed/b.dat")
    route.write("closed/deeper/c.dat")
    route.deliver_here()
    (route.src / "closed").chmod(0)
    try:
        closed = run_permission_bound(route, "main.py", "--json")
    finally:
        (route.src / "closed").chmod(0o755)

    assert closed.returncode == 3, closed.stderr
    assert '"vanished": 0' in closed.stdout
    assert route.summary()["submitted"] == 0


def test_set_time_goes_on_past_an_unreadable_folder(lonely_route: Route) -> None:
    """Weakness 9: the same, for set_time.py."""
    lonely_route.write("a.dat")
    lonely_route.write("closed/b.dat")
    (lonely_route.src / "closed").chmod(0)
    try:
        done = run_permission_bound(lonely_route, "set_time.py", "now")
    finally:
        (lonely_route.src / "closed").chmod(0o755)

    assert done.returncode == 3
    assert "closed: permission denied" in done.stderr
    assert lonely_route.summary("--dry-run")["new"] == 1


@pytest.mark.parametrize("becomes", ["nothing", "a file", "a symlink"])
def test_a_folder_that_vanishes_during_the_scan_ends_nothing(tmp_path: Path, becomes: str) -> None:
    """Weakness 9: a folder that went away between its listing and its turn ended the whole run."""
    for name in ("a", "gone", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.dat").write_text("x")
    root_fd = open_root(str(tmp_path))
    scan = walk(root_fd, Policy())
    next(scan)
    shutil.rmtree(tmp_path / "gone")
    if becomes == "a file":
        (tmp_path / "gone").write_text("x")
    elif becomes == "a symlink":
        (tmp_path / "gone").symlink_to(tmp_path / "z")

    listings = {listing.rel_path: listing for listing in scan}
    os.close(root_fd)

    assert list(listings) == ["a", "gone", "z"]
    assert (listings["gone"].is_readable, listings["gone"].files, listings["gone"].errors) == (False, {}, ())
    assert set(listings["z"].files) == {"file.dat"}


# ---- 10 ----------------------------------------------------------------------------------------------------------


def test_nested_empty_folders_arrive_without_a_call_for_each(route: Route, globus: Emulator) -> None:
    """Weakness 10: empty folders were made one call each, without their parents, and errors were swallowed."""
    for path in ("a/b/c/d", "a/b/e", "a/f/g/h", "i/j"):
        (route.src / path).mkdir(parents=True)
    route.write("i/file.dat")
    for folder, _, _ in os.walk(route.src):
        os.utime(folder, (LONG_AGO, LONG_AGO))

    assert deliver_change(route) == {"a/", "i/"}
    assert len(route.sent()) == 1
    assert not [call for call in globus.world.requests if "mkdir" in call.path]


def test_an_empty_folder_that_could_not_be_made_is_not_taken_for_delivered(route: Route, globus: Emulator) -> None:
    """Weakness 10: it was marked as done in any case."""
    globus.world.add_outcome("fail", times=1, after_files=0)
    route.write("a.dat")
    (route.src / "empty").mkdir()
    os.utime(route.src / "empty", (LONG_AGO, LONG_AGO))
    route.run_here("main.py")
    shutil.rmtree(route.dst, ignore_errors=True)

    route.summary("--wait", "60", status=3)

    assert route.tree(route.dst) == route.tree()


# ---- 11 ----------------------------------------------------------------------------------------------------------


def test_of_two_runs_at_once_the_second_submits_nothing_and_says_so_by_its_status(
    route: Route, globus: Emulator
) -> None:
    """Weakness 11: nothing kept two runs apart, so both submitted the same files."""
    hold = globus.world.add_fault("GET /v0.10/submission_id", hold=True)
    route.write("a.dat")
    first = route.start("main.py")
    until_held(hold, first)

    second = route.run("main.py", status=7)

    hold.release()
    assert (second.stdout, second.stderr) == ("", "")
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert len(route.sent()) == 1
    assert globus.world.conflicts == []
    route.deliver_here()
    assert len(route.sent()) == 1


# ---- 12 ----------------------------------------------------------------------------------------------------------


def test_a_tree_of_more_than_three_hundred_levels_arrives(route: Route) -> None:
    """Weakness 12: the trie was pickled as one nest of objects, which a deep tree broke."""
    deep = "/".join(["d"] * 340)
    route.write(f"{deep}/bottom.dat", "deep down")
    route.write("top.dat")

    route.deliver_here()

    assert (route.dst / deep / "bottom.dat").read_text() == "deep down"
    assert route.summary()["submitted"] == 0
    route.write(f"{deep}/bottom.dat", "changed", mtime_seconds=LONG_AGO + 5)
    route.deliver_here()
    assert last_sent(route) == {f"{deep}/bottom.dat"}


def python_with_dbm_sqlite3() -> str:
    """A Python whose plain shelve reads SQLite: 3.13 or newer."""
    if sys.version_info >= (3, 13):
        return sys.executable
    known = [shutil.which(f"python3.{minor}") or "" for minor in (13, 14, 15)]
    known += [str(path) for path in sorted(Path.home().glob(".pyenv/versions/3.1[3-9].*/bin/python"))]
    for python in filter(None, known):
        if subprocess.run([python, "-c", "import dbm.sqlite3"], capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("there is no Python 3.13 or newer here")


def test_the_datastore_is_a_shelf_that_any_newer_python_opens_without_our_code(route: Route) -> None:
    """Weakness 12: the shelf's format hung on the Python's build, and its values on our modules' names."""
    route.write("folder/a.dat")
    route.deliver_here()
    program = (
        "import shelve, sys\n"
        "with shelve.open(sys.argv[1], 'r') as datastore:\n"
        "    print(sorted(datastore), datastore['FORMAT_VERSION'], datastore['/folder'][0], sep='\\n')\n"
    )

    read = subprocess.run(
        [python_with_dbm_sqlite3(), "-I", "-c", program, str(route.code_path / "datastore")],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )

    keys, version, names = read.stdout.splitlines()
    assert "'/', '/folder'" in keys
    assert (version, names) == (str(FORMAT_VERSION), "a.dat")


def test_an_unchanged_tree_is_not_written_again(lonely_route: Route) -> None:
    """Weakness 12: the whole trie was rewritten by every run."""
    for number in range(4000):
        lonely_route.write(f"folder{number % 40}/{number}.dat")
    lonely_route.run_here("set_time.py", "now")
    datastore = lonely_route.code_path / "datastore"
    before = datastore.read_bytes()
    assert len(before) > 100_000

    lonely_route.run_here("main.py")

    after = datastore.read_bytes()
    page_bytes = 4096
    changed = sum(
        before[first : first + page_bytes] != after[first : first + page_bytes]
        for first in range(0, len(after), page_bytes)
    )
    assert changed * page_bytes < len(before) / 2


# ---- 13 ----------------------------------------------------------------------------------------------------------


def test_every_option_of_a_task_is_sent_and_never_left_to_a_default(route: Route) -> None:
    """Weakness 13: options were left out, so nothing was verified and every task was mailed about."""
    route.write("a.dat")

    route.deliver_here()

    (document,) = route.sent()
    expected = {
        "verify_checksum": True,
        "preserve_timestamp": True,
        "encrypt_data": True,
        "skip_source_errors": True,
        "fail_on_quota_errors": False,
        "delete_destination_extra": False,
        "notify_on_succeeded": False,
        "notify_on_failed": False,
        "notify_on_inactive": False,
        "sync_level": MTIME,
    }
    assert {name: document[name] for name in expected} == expected


def test_many_items_become_several_tasks(route: Route, globus: Emulator) -> None:
    """Weakness 13: everything went into one task, of whatever size."""
    route.configure(MAX_ITEMS_PER_TASK=10)
    globus.world.limits.items_per_task = 10
    for number in range(35):
        route.write(f"{number}.dat")

    route.deliver_here()

    assert sorted(len(document["DATA"]) for document in route.sent()) == [5, 10, 10, 10]
    assert route.tree(route.dst) == route.tree()


def test_a_submission_whose_answer_was_lost_is_repeated_with_its_own_id(route: Route, globus: Emulator) -> None:
    """Weakness 13: every try had an id of its own, so a lost answer meant a second task or a conflict."""
    globus.world.add_fault("POST /v0.10/transfer", times=None, reset="after")
    route.write("a.dat")
    route.run("main.py", status=6, says="same submission_id")
    globus.world.clear_faults()

    route.deliver_here()

    posts = [call.status for call in globus.world.requests if call.method == "POST" and "transfer" in call.path]
    assert len(posts) >= 2
    assert len(route.sent()) == 1
    assert route.tree(route.dst) == route.tree()


# ---- 14 ----------------------------------------------------------------------------------------------------------


def sign_in(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what a person does once: follow the link, bring back the code."""
    from autotransfer.common.settings import check_settings
    from autotransfer.globus.login import Login

    def code_behind(url: str) -> str:
        page = requests.get(url, timeout=60)
        return page.text.partition('<code id="auth-code">')[2].partition("<")[0]

    for name, value in route.environment.items():
        monkeypatch.setenv(name, value)
    route.configure(CLIENT_SECRET_FILE="")
    with Login(check_settings(route.settings, config_file=str(route.config)), ask=code_behind) as login:
        login.sign_in()


def test_without_a_login_cron_gets_a_status_and_a_remedy_and_no_question(route: Route) -> None:
    """Weakness 14: a missing login was asked for on a terminal that cron does not have."""
    route.configure(CLIENT_SECRET_FILE="")
    route.write("a.dat")

    result = route.run("main.py", status=4)

    assert result.stdout == ""
    assert "test_config.py" in result.stderr
    assert "Nothing was sent or recorded." in result.stderr


def test_a_login_is_kept_in_a_file_that_is_its_owners_alone(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weakness 14: the token file was readable to everyone on the computer."""
    sign_in(route, monkeypatch)
    tokens = route.code_path / "tokens.db"
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    tokens.chmod(0o644)
    route.write("a.dat")

    assert deliver_change(route) == {"a.dat"}
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600


def test_an_expired_login_is_refreshed_and_a_revoked_one_never_prompts(
    route: Route, globus: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weakness 14: the same, once the tokens have aged."""
    sign_in(route, monkeypatch)
    route.write("a.dat")
    globus.world.change_auth(expire_access_tokens=True)
    assert deliver_change(route) == {"a.dat"}
    route.write("b.dat")
    globus.world.change_auth(revoke="refresh_tokens", expire_access_tokens=True)

    result = route.run("main.py", status=4)

    assert "test_config.py" in result.stderr
    assert len(route.sent()) == 1


# ---- 15 ----------------------------------------------------------------------------------------------------------


def test_the_sdk_that_is_used_is_a_current_one(route: Route) -> None:
    """Weakness 15: nothing worked with globus-sdk 4 and newer."""
    assert int(metadata.version("globus-sdk").partition(".")[0]) >= 4
    route.write("a.dat")

    assert deliver_change(route) == {"a.dat"}


def test_a_missing_consent_ends_in_its_own_status_with_what_to_do(
    route: Route, globus: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weakness 15: collections that want a data_access consent were not thought of."""
    sign_in(route, monkeypatch)
    globus.world.change_collection(DST_ID, type="mapped")
    route.write("a.dat")

    result = route.run("main.py", status=4)

    assert "consent" in result.stderr
    assert "test_config.py" in result.stderr
    assert route.sent() == []


def test_a_service_account_asks_for_the_consent_by_itself(route: Route, globus: Emulator) -> None:
    """Weakness 15: the same, where nobody can be asked."""
    globus.world.change_collection(SRC_ID, type="mapped")
    globus.world.change_collection(DST_ID, type="mapped")
    route.write("a.dat")

    assert deliver_change(route) == {"a.dat"}


# ---- 17 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["{src}2/file.dat", "{src}/../src2", "{src}/no such file", "/"])
def test_set_time_refuses_a_path_that_is_not_below_src_dir_or_not_there(lonely_route: Route, path: str) -> None:
    """Weakness 17: a sibling whose name only begins alike was taken, and an unknown path was a silent success."""
    (lonely_route.folder / "src2").mkdir()
    (lonely_route.folder / "src2" / "file.dat").write_text("x")
    lonely_route.write("a.dat")

    lonely_route.run("set_time.py", "now", "--path", path.format(src=lonely_route.src), status=2, says="Nothing was")

    assert lonely_route.summary("--dry-run")["new"] == 1


def test_set_time_can_be_used_by_a_script(lonely_route: Route) -> None:
    """Weakness 17: it could only be used by a person at a terminal."""
    lonely_route.write("a.dat")
    lonely_route.write("b.dat")

    lonely_route.run("set_time.py", "now", "--path", str(lonely_route.src / "a.dat"))
    marked = lonely_route.summary("--dry-run")["new"]
    lonely_route.run_here("set_time.py", "never")

    assert (marked, lonely_route.summary("--dry-run")["new"]) == (1, 2)


# ---- 18 ----------------------------------------------------------------------------------------------------------


def test_a_run_that_could_not_send_has_a_status_of_its_own_and_an_error_in_the_log(
    route: Route, globus: Emulator
) -> None:
    """Weakness 18: the exit status was always 0, and errors were logged as information."""
    globus.world.change_collection(DST_ID, gcp_connected=False)
    route.write("a.dat")

    result = route.run("main.py", status=6)

    assert "is not connected to Globus" in result.stderr
    errors = [line for line in (route.code_path / "log").read_text().splitlines() if " ERROR " in line]
    assert len(errors) == 1
    assert "is not connected to Globus" in errors[0]


def test_the_log_is_set_aside_when_it_has_grown(lonely_route: Route) -> None:
    """Weakness 18: the log grew for ever."""
    lonely_route.configure(LOG_MAX_BYTES=10_000)
    lonely_route.write("a.dat")
    log = lonely_route.code_path / "log"
    log.write_text("old\n" * 2501)

    lonely_route.run_here("set_time.py", "now")
    lonely_route.run_here("main.py")

    assert (lonely_route.code_path / "log.1").read_text().startswith("old\n")
    assert "old\n" not in log.read_text()
    assert len(log.read_text().splitlines()) == 2
    log.write_text("newer\n" * 2501)
    lonely_route.run_here("main.py")
    assert sorted(path.name for path in lonely_route.code_path.glob("log*")) == ["log", "log.1"]
    assert (lonely_route.code_path / "log.1").read_text().startswith("newer\n")


# ---- 19 ----------------------------------------------------------------------------------------------------------


def test_symlinks_that_are_left_out_are_counted(route: Route) -> None:
    """Weakness 19: they were left out without a word."""
    route.write("a.dat")
    (route.src / "to a file").symlink_to("a.dat")
    (route.src / "to nothing").symlink_to("nowhere")
    (route.src / "to a folder").symlink_to("/")

    summary = route.deliver()

    assert (summary["links"], summary["delivered"]) == (3, 1)
    assert "links=3" in (route.code_path / "log").read_text()
    assert set(route.tree(route.dst)) == {"a.dat"}


def test_a_name_that_cannot_be_sent_is_reported_by_name_and_the_rest_is_sent(route: Route) -> None:
    """Weakness 19: one such name made the whole submission fail."""
    route.write("a.dat")
    route.write("folder/b.dat")
    (route.src / os.fsdecode(b"caf\xe9.dat")).write_text("x")
    (route.src / "folder" / os.fsdecode(b"\xff\xfe")).mkdir()
    (route.src / "folder" / "line\r\nbreak").write_text("x")

    result = route.run("main.py", "--wait", "60", status=3)

    assert [line.partition(":")[0] for line in sorted(result.stderr.splitlines())] == [
        "Service",
        f"Skipped {route.src}/caf\\xe9.dat",
        f"Skipped {route.src}/folder/\\xff\\xfe",
        f"Skipped {route.src}/folder/line\\r\\nbreak",
    ]
    assert set(route.tree(route.dst)) == {"a.dat", "folder", "folder/b.dat"}


# ---- 20 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown_as", ["/", "/shares/run7"])
def test_a_collection_that_shows_src_dir_under_another_path_is_reported_by_src_path(
    route: Route, globus: Emulator, shown_as: str
) -> None:
    """Weakness 20: the path on this computer was taken for the collection's."""
    root = route.src
    if shown_as != "/":
        root = route.folder / "collection"
        (root / "shares").mkdir(parents=True)
        route.src.rename(root / "shares" / "run7")
        route.src = root / "shares" / "run7"
    globus.world.change_collection(SRC_ID, root=root)
    route.configure(SRC_DIR=str(route.src), SRC_PATH=shown_as)
    route.write("a.dat")
    route.write("folder/b.dat")

    route.deliver_here()

    assert route.tree(route.dst) == route.tree()
    shown = {item["source_path"] for document in route.sent() for item in document["DATA"]}
    assert shown == {f"{shown_as.rstrip('/')}/a.dat", f"{shown_as.rstrip('/')}/folder/"}
    assert route.summary()["submitted"] == 0
    assert all(document["source_endpoint"] == SRC_ID for document in route.sent())
