"""Sources of changes that do not see everything: folder times that stand still, change feeds, and lists of other names.

What a full scan finds under them is sent, is reported, and ends the trust in them until a person gives it back.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

import pytest
from faulty import FaultCheck
from suite import Route

from autotransfer.datastore.folder_times import Times
from autotransfer.datastore.store import Store


def run_with(route: Route, list_text: bytes, *options: str, status: int = 0) -> Any:
    """One run with this list of a change feed, made now: a step of the file system's clock after what was written."""
    time.sleep(0.02)
    (route.folder / "names").write_bytes(list_text)
    return route.summary_here("--paths-from", str(route.folder / "names"), "--wait", *options, status=status)


def settle_folders(route: Route) -> None:
    """Wait until no folder's own times are so new that a quick scan distrusts them."""
    newest = max(path.stat().st_ctime for path in [route.src, *route.src.rglob("*")])
    time.sleep(max(0.0, newest + 2.05 - time.time()))


def let_times_stand_still(route: Route, name: str) -> None:
    """Let a folder's mark be as if its file system had not moved the folder's times since."""
    status = os.stat(route.src / name)
    with Store(str(route.code_path / "datastore")) as store:
        mark = store.folder_times.of("")[name]
        assert mark is not None
        times = Times(status.st_mtime_ns, status.st_ctime_ns, mark.files, mark.has_folders)
        store.folder_times.set(name, times)
        store.commit()


@pytest.fixture
def quick(there: Route) -> Route:
    """A delivered file in a folder that quick scans skip."""
    there.configure(SCAN="quick")
    there.write("scan1/a.dat")
    there.deliver_here()
    settle_folders(there)
    assert there.summary_here("--full")["scan"] == "full"
    assert there.summary_here()["scan"] == "quick"
    return there


@pytest.mark.fault(
    "a file system does not move the times of folders, with SCAN = 'quick'",
    sees="SCAN = 'quick' is not used: a full scan found that names were added to ...src/scan1 or removed from it, "
    "although the folder's own times are as they were. ... Each run reads everything instead, so nothing is missed "
    "now; once the cause is gone, run `main.py --trust`.",
    status=3,
    recorded="2 paths delivered; 2 tasks succeeded",
)
def test_a_full_scan_notices_that_folder_times_stand_still(quick: Route, fault: FaultCheck) -> None:
    quick.write("scan1/b.dat")
    let_times_stand_still(quick, "scan1")
    assert quick.deliver_here()["new"] == 0, "the quick scan is blind"

    fault.check(quick.run("main.py", "--full", "--wait", status=None), quick)

    quick.write("scan1/c.dat")
    after = quick.summary_here("--wait", status=3)
    assert (after["scan"], after["delivered"]) == ("full", 1)
    again = quick.summary_here("--trust", "--wait")
    settle_folders(quick)
    assert again["notices"] == []
    assert [quick.summary_here(option)["scan"] for option in ("--full", "-q")] == ["full", "quick"]


def test_folder_times_that_were_blind_are_forgotten_where_scan_is_full(quick: Route) -> None:
    (quick.src / "scan1/a.dat").rename(quick.src / "scan1/b.dat")
    let_times_stand_still(quick, "scan1")
    quick.summary_here("--full", "--wait", status=3)

    quick.configure(SCAN="full")
    quick.deliver_here()
    quick.configure(SCAN="quick")

    assert quick.deliver_here()["notices"] == []


def test_a_folder_whose_times_moved_with_its_names_keeps_the_trust(quick: Route) -> None:
    quick.write("scan1/b.dat")
    quick.deliver_here()
    settle_folders(quick)
    for _ in range(2):
        quick.summary_here("--full")
    quick.write("scan1/c.dat")

    assert quick.summary_here("--full", "--wait")["notices"] == []


@pytest.fixture
def fed(there: Route) -> Route:
    """A delivered file, and two lists of a change feed since."""
    there.write("scan1/a.dat")
    run_with(there, b"")
    run_with(there, b"")
    return there


@pytest.mark.fault(
    "a change feed does not name what was written",
    sees="The change feed is not used: its lists had not named ...src/scan1/b.dat, which a full scan found new, "
    "modified or gone. ... Each run reads everything instead, so nothing is missed now; once the cause is gone, run "
    "`main.py --trust`.",
    status=3,
    recorded="2 paths delivered; 2 tasks succeeded",
)
def test_a_full_scan_notices_that_a_feed_was_blind(fed: Route, fault: FaultCheck) -> None:
    fed.write("scan1/b.dat")
    for _ in range(2):
        assert run_with(fed, b"")["new"] == 0, "nobody names it"

    fault.check(fed.run("main.py", "--full", "--wait", status=None), fed)

    fed.write("scan1/c.dat")
    after = run_with(fed, b"", status=3)
    assert (after["scan"], after["delivered"]) == ("full", 1)
    assert fed.deliver_here()["notices"] == [], "a run without a list uses no feed"
    assert fed.summary_here("--trust")["notices"] == []
    assert run_with(fed, b"")["scan"] == "paths"


@pytest.mark.parametrize("what", ["removed", "a folder removed", "rewritten in place"])
def test_other_changes_that_a_feed_did_not_name_are_noticed_too(fed: Route, what: str) -> None:
    fed.write("scan1/b.dat")
    fed.write("scan1/below/c.dat")
    run_with(fed, b"scan1")
    run_with(fed, b"")
    if what == "removed":
        (fed.src / "scan1/b.dat").unlink()
    elif what == "a folder removed":
        shutil.rmtree(fed.src / "scan1/below")
    else:
        fed.write("scan1/b.dat", "longer than it was")
    for _ in range(2):
        run_with(fed, b"")

    (notice,) = fed.summary_here("--full", "--wait", status=3)["notices"]

    assert notice.startswith("The change feed is not used: ")


def test_a_feed_may_name_a_change_one_list_late(fed: Route) -> None:
    fed.write("scan1/b.dat")
    run_with(fed, b"")
    assert fed.summary_here("--full", "--wait")["delivered"] == 1

    assert run_with(fed, os.fsencode(fed.src / "scan1/b.dat"))["scan"] == "paths"


def test_a_feed_that_does_not_name_it_then_either_is_blind(fed: Route) -> None:
    fed.write("scan1/b.dat")
    run_with(fed, b"")
    assert fed.summary_here("--full", "--wait")["notices"] == []
    fed.write("scan1/c.dat")

    found = run_with(fed, b"", status=3)

    assert (found["scan"], found["delivered"], len(found["notices"])) == ("full", 1, 1)


@pytest.mark.parametrize(
    "what", ["a list by hand", "moved in", "emptied", "after the last list", "kept", "no longer excluded", "reset"]
)
def test_what_a_feed_need_not_have_named_is_not_held_against_it(fed: Route, what: str) -> None:
    if what == "moved in":
        outside = fed.folder / "outside"
        outside.mkdir()
        (outside / "old.dat").write_text("its ctime stays")
        run_with(fed, b"")
        run_with(fed, b"")
        outside.rename(fed.src / "moved")
    elif what == "after the last list":
        fed.write("scan1/b.dat")
    elif what == "emptied":
        (fed.src / "scan1/a.dat").unlink()
        run_with(fed, b"")
    elif what == "a list by hand":
        fed.deliver_here()
        fed.write("scan1/b.dat")
        run_with(fed, b"")
    elif what == "kept":
        fed.configure(SETTLE_SECONDS=3600)
        fed.write("scan1/b.dat", mtime_seconds=os.stat(fed.src).st_mtime)
        for _ in range(3):
            run_with(fed, b"scan1/b.dat\0")
        fed.configure(SETTLE_SECONDS=0)
    elif what == "no longer excluded":
        fed.configure(EXCLUDE=["b.dat"])
        fed.write("scan1/b.dat")
        fed.deliver_here()
        fed.configure(EXCLUDE=[])
        for _ in range(3):
            run_with(fed, b"")
    else:
        fed.run_here("set_time.py", "never", "--path", str(fed.src / "scan1"))

    assert fed.summary_here("--full", "--wait")["notices"] == []
    assert (
        run_with(fed, {"after the last list": b"scan1/b.dat", "emptied": b"scan1/a.dat"}.get(what, b""))["notices"]
        == []
    )


@pytest.mark.fault(
    "nearly nothing exists that a change feed names",
    sees="20 of 21 names in the list are neither in SRC_DIR nor recorded, such as ...src/%2Fscan1. The list may be of "
    "another folder, or have its names quoted or encoded. What it should have named was not sent: correct what makes "
    "it, then run `main.py --full`.",
    status=3,
    recorded="2 paths delivered; 2 tasks succeeded",
)
def test_a_list_of_names_that_do_not_exist_is_reported(fed: Route, fault: FaultCheck) -> None:
    fed.write("scan1/b.dat")
    names = ["scan1/b.dat", *(f"%2Fscan1/{number}.dat" for number in range(20))]
    (fed.folder / "names").write_text("\n".join(names))

    fault.check(fed.run("main.py", "--paths-from", str(fed.folder / "names"), "--wait", status=None), fed)


def test_a_list_of_what_was_removed_is_a_good_list(fed: Route) -> None:
    names = [f"scan1/{number}.dat" for number in range(20)]
    for name in names:
        fed.write(name)
    run_with(fed, "\0".join(names).encode())
    for name in names:
        (fed.src / name).unlink()

    gone = run_with(fed, "\0".join(names).encode())

    assert (gone["vanished"], gone["notices"]) == (20, [])


def test_a_list_whose_lines_end_in_cr_lf_is_read_as_such(fed: Route) -> None:
    names = [f"scan1/{number}.dat" for number in range(20)]
    for name in names:
        fed.write(name)

    assert run_with(fed, "".join(f"{name}\r\n" for name in names).encode())["new"] == 20


def test_a_name_may_end_in_cr_where_other_lines_do_not(fed: Route) -> None:
    for name in ("scan1/odd\r", "scan1/b"):
        fed.write(name)

    assert run_with(fed, b"scan1/odd\r\nscan1/b\n")["new"] == 2
