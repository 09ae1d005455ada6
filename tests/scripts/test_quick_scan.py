"""Quick scans: what they leave out, what they still see, and when a scan is full all the same."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from suite import LONG_AGO, Route

from autotransfer.datastore.folder_times import FolderTimes, Times
from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.scan.listing import Unchanged
from autotransfer.scan.quick import Marking
from emulator.http.server import Emulator
from utils import load_settings


def settle_folders(top: Path) -> None:
    """Wait until no folder's own times are so new that a quick scan distrusts them."""
    newest = max(path.stat().st_ctime for path in [top, *top.rglob("*")])
    time.sleep(max(0.0, newest + 2.05 - time.time()))


@pytest.fixture
def quick(route: Route) -> Route:
    """A delivered tree of which a quick scan leaves out every folder."""
    route.configure(SCAN="quick")
    for folder in ("a/x", "a/y/deep", "b"):
        for name in ("1.dat", "2.dat"):
            route.write(f"{folder}/{name}", folder + name)
    route.write("top.dat")
    (route.src / "empty").mkdir()
    assert route.deliver_here()["new"] == 8
    settle_folders(route.src)
    assert route.summary_here("--full")["scan"] == "full"
    summary = route.summary_here()
    assert (summary["scan"], summary["files"], summary["folders"]) == ("quick", 8, 7)
    return route


def rewrite_in_place(route: Route, rel_path: str) -> None:
    """Write new content into a file without touching its folder."""
    with open(route.src / rel_path, "r+b") as file:
        file.write(b"rewritten in place")
    os.utime(route.src / rel_path, (LONG_AGO + 100, LONG_AGO + 100))


def test_a_quick_scan_lists_no_folder_whose_times_are_as_marked(quick: Route) -> None:
    rewrite_in_place(quick, "a/x/1.dat")

    summary = quick.summary()

    assert (summary["scan"], summary["modified"], summary["files"]) == ("quick", 0, 8)


def test_a_full_scan_finds_what_quick_ones_could_not_see(quick: Route) -> None:
    rewrite_in_place(quick, "a/x/1.dat")

    summary = quick.summary("--full", "--wait", "60")

    assert (summary["scan"], summary["modified"]) == ("full", 1)
    assert quick.tree(quick.dst) == quick.tree()


def test_a_quick_scan_finds_a_file_added_anywhere(quick: Route) -> None:
    for folder in ("a/x", "a/y/deep", "a/y", "a", "b", "empty", ""):
        quick.write(f"{folder}/added.dat".lstrip("/"), "added")

        summary = quick.deliver()

        assert (summary["scan"], summary["new"], summary["delivered"]) == ("quick", 1, 1)
        assert quick.tree(quick.dst) == quick.tree()


def test_a_quick_scan_finds_what_was_replaced_renamed_or_deleted(quick: Route) -> None:
    (quick.src / "a/y/deep").rename(quick.src / "a/z")
    (quick.src / "b/1.dat").unlink()
    quick.write("b/other.dat", "longer than before").replace(quick.src / "b/2.dat")

    summary = quick.deliver()

    assert (summary["scan"], summary["new"], summary["modified"], summary["vanished"]) == (
        "quick",
        3,
        1,
        3,
    )  # a/y is empty now
    assert quick.tree() == {path: content for path, content in quick.tree(quick.dst).items() if path in quick.tree()}


def test_a_folder_put_in_place_with_the_times_of_the_one_before_is_listed(quick: Route) -> None:
    before = (quick.src / "a/x").stat()
    (quick.src / "a/x").rename(quick.folder / "old")
    quick.write("a/x/other.dat", "other")
    os.utime(quick.src / "a/x", ns=(before.st_atime_ns, before.st_mtime_ns))

    summary = quick.deliver()

    assert (summary["scan"], summary["new"]) == ("quick", 1)


def test_a_folder_that_changed_within_the_time_step_of_its_file_system_is_not_marked(lonely_route: Route) -> None:
    lonely_route.configure(SCAN="quick")
    settings = load_settings(str(lonely_route.config))
    now_ns = LONG_AGO * 10**9
    old_ns = now_ns - 2 * 10**9 - 1
    with Store(IN_MEMORY) as store:
        marking = Marking(settings, store, now_ns=now_ns, is_full=False)
        marking.note("", Unchanged(0, 0, 0, ["changed", "moved", "old", "odd"], 1, 1, True))
        marking.note("changed", Unchanged(1, 0, 0, [], old_ns + 1, old_ns, True))
        marking.note("moved", Unchanged(1, 0, 0, [], old_ns, old_ns + 1, True))
        marking.note("odd", Unchanged(1, 0, 0, [], old_ns, old_ns, False))
        marking.note("old", Unchanged(1, 0, 0, [], old_ns, old_ns, True))

        assert [name for name, mark in store.folder_times.of("").items() if mark] == ["old"]


def test_what_failed_is_sent_again_by_quick_scans(quick: Route, globus: Emulator) -> None:
    globus.world.add_outcome("fail", path="*/added.dat", times=1)
    quick.write("a/x/added.dat", "added")
    quick.summary("--wait", "60", status=3)

    summary = quick.deliver()

    assert (summary["scan"], summary["retried"], summary["delivered"]) == ("quick", 1, 1)
    assert quick.tree(quick.dst) == quick.tree()


def test_what_set_time_py_resets_is_sent_by_the_next_quick_scan(quick: Route) -> None:
    quick.run("set_time.py", "never", "--path", str(quick.src / "a/y"))

    summary = quick.deliver()

    assert (summary["scan"], summary["new"]) == ("quick", 2)


def test_the_scan_is_full_when_the_last_full_one_is_too_long_ago(quick: Route) -> None:
    with Store(str(quick.code_path / "datastore")) as store:
        last = store.shelf["FULL_SCAN"]
        store.shelf["FULL_SCAN"] = {**last, "at_ns": last["at_ns"] - 86_400 * 10**9}
        store.commit()
    rewrite_in_place(quick, "b/1.dat")

    assert quick.summary()["modified"] == 1
    assert quick.summary()["scan"] == "quick"


def test_the_scan_is_full_when_what_is_left_out_was_changed(quick: Route) -> None:
    quick.configure(EXCLUDE=["2.*"])
    summary = quick.summary()
    assert (summary["scan"], summary["files"]) == ("full", 5)


def test_without_quick_scans_no_marks_are_kept(quick: Route) -> None:
    quick.configure(SCAN="full")
    rewrite_in_place(quick, "b/1.dat")
    assert quick.deliver()["modified"] == 1

    with Store(str(quick.code_path / "datastore"), is_read_only=True) as store:
        assert not store.folder_times.is_used
        assert "FULL_SCAN" not in store.shelf


def test_a_dry_run_leaves_no_marks(route: Route) -> None:
    route.configure(SCAN="quick")
    route.write("run/1.dat")
    route.deliver_here()
    settle_folders(route.src)
    route.run("main.py", "--dry-run", "--full")

    with Store(str(route.code_path / "datastore"), is_read_only=True) as store:
        assert store.folder_times.of("").get("run") is None


def test_marks_are_of_folders_that_are_noted_and_fall_with_their_records() -> None:
    with Store(IN_MEMORY) as store:
        marks = store.folder_times
        mark = Times(5, 6, 7, False)
        marks.set("a/unknown", mark)
        assert not marks.of("a")
        marks.set_folders("", ["a", "b"])
        marks.set_folders("a", ["x", "y"])
        for rel_path in ("a", "b", "a/x", "a/y"):
            marks.set(rel_path, mark)
        store.commit()
        assert FolderTimes(store.shelf).of("a") == {"x": mark, "y": mark}

        store.trie.link("a/x/new")  # writes records of a/x and, above it, of a and of SRC_DIR
        assert marks.of("a") == {"x": None, "y": mark}
        assert marks.of("") == {"a": None, "b": mark}
        store.commit()
        assert FolderTimes(store.shelf).of("a") == {"x": None, "y": mark}

        marks.set_folders("", ["b", "c"])
        store.commit()
        assert FolderTimes(store.shelf).of("") == {"b": mark, "c": None}
        assert FolderTimes(store.shelf).of("a") == {}
