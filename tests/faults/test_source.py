"""SRC_DIR away, unreadable or changing under the scan: no record is dropped for it, and nothing outside it is sent."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import machine
import pytest
from faulty import FaultCheck, assert_recovers
from suite import Route
from waiting import until

DELIVERED = "2 paths delivered; 1 task succeeded"
ON_ITS_WAY = "2 paths delivered, 1 path under way; 1 task succeeded"
OTHER_FOLDER = (
    "SRC_DIR ... is another folder or disk than at the last run: {there} of {checked} names recorded at its top are "
    "there unchanged. Is its disk mounted? If not, mount it. ... Nothing was sent, and no record was dropped."
)
LAG_NS = 1_700_000_000_123_456_789
DISK_BYTES = 1 << 20


@pytest.fixture
def ready(route: Route) -> Route:
    """A route with something delivered and something to send."""
    return machine.one_delivered_one_to_send(route)


# ---- away --------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "SRC_DIR is missing",
    sees="Cannot read SRC_DIR ...: no such file or directory. Mount it ... Nothing was sent or recorded.",
    status=5,
    recorded=DELIVERED,
)
@pytest.mark.parametrize("words", [("main.py",), ("main.py", "--dry-run"), ("set_time.py", "now")], ids=" ".join)
def test_a_missing_tree_is_reported_and_its_records_stay(
    ready: Route, fault: FaultCheck, words: tuple[str, ...]
) -> None:
    away = ready.src.rename(ready.folder / "away")

    fault.check(ready.run(*words, status=None), ready)

    away.rename(ready.src)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "SRC_DIR is a file",
    sees="Cannot read SRC_DIR ...: not a directory. ... Nothing was sent or recorded.",
    status=5,
    recorded=DELIVERED,
)
def test_a_file_in_the_place_of_the_tree_is_reported(ready: Route, fault: FaultCheck) -> None:
    away = ready.src.rename(ready.folder / "away")
    ready.src.write_text("a file")

    fault.check(ready.run("main.py", status=None), ready)

    ready.src.unlink()
    away.rename(ready.src)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "SRC_DIR may not be read",
    sees="Cannot read SRC_DIR ...: permission denied. ... give this user read and search permission ... Nothing was "
    "sent or recorded.",
    status=5,
    recorded=DELIVERED,
)
def test_an_unreadable_tree_is_reported(ready: Route, fault: FaultCheck) -> None:
    before = machine.without_rights()
    ready.src.chmod(0)

    result = machine.run(ready, "main.py", before=before)

    ready.src.chmod(0o755)
    fault.check(result, ready)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "a folder in SRC_DIR may not be read",
    sees="Skipped ...sub: permission denied.",
    status=3,
    recorded="2 paths delivered, 1 path under way; 1 task succeeded",
)
def test_an_unreadable_folder_is_reported_the_rest_is_sent_and_its_records_stay(
    ready: Route, fault: FaultCheck
) -> None:
    before = machine.without_rights()
    ready.write("other.txt")
    (ready.src / "sub").chmod(0)

    result = machine.run(ready, "main.py", before=before)

    (ready.src / "sub").chmod(0o755)
    fault.check(result, ready)
    assert_recovers(ready, tasks=3)


@pytest.mark.fault(
    "a folder in SRC_DIR may be listed, but not searched",
    sees="Skipped ...sub/b.txt: permission denied. Skipped ...sub/c.txt: permission denied.",
    status=3,
    recorded=DELIVERED,
)
def test_a_folder_that_may_not_be_searched_is_reported_and_its_records_stay(ready: Route, fault: FaultCheck) -> None:
    before = machine.without_rights()
    (ready.src / "sub").chmod(0o444)

    result = machine.run(ready, "main.py", before=before)

    (ready.src / "sub").chmod(0o755)
    lines = sorted(result.stderr.splitlines())
    fault.check(result._replace(stderr="\n".join(lines)), ready)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "SRC_DIR is empty where it was not (its disk is not mounted)",
    sees="SRC_DIR ... is empty, but the datastore has records of files in it. Is its disk mounted? If not, mount it. "
    "... Nothing was sent, and no record was dropped.",
    status=5,
    recorded=DELIVERED,
)
def test_a_tree_that_is_suddenly_empty_is_reported(ready: Route, fault: FaultCheck) -> None:
    away = ready.src.rename(ready.folder / "away")
    ready.src.mkdir()

    fault.check(ready.run("main.py", status=None), ready)

    ready.src.rmdir()
    away.rename(ready.src)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "another, empty disk is mounted at SRC_DIR",
    sees="SRC_DIR ... is empty, but the datastore has records of files in it. Is its disk mounted?",
    status=5,
    recorded=DELIVERED,
)
def test_an_empty_disk_in_the_place_of_the_tree_is_reported(ready: Route, fault: FaultCheck) -> None:
    with machine.disk(ready.src, DISK_BYTES, is_new=True):
        fault.check(ready.run("main.py", status=None), ready)

    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "another disk with other files is mounted at SRC_DIR",
    sees=OTHER_FOLDER.format(there=0, checked=2),
    status=5,
    recorded="5 paths delivered; 3 tasks succeeded",
)
def test_another_disk_in_the_place_of_the_tree_is_reported(ready: Route, fault: FaultCheck) -> None:
    for name in ("lost+found", ".Trash-1000/files"):
        (ready.src / name).mkdir(parents=True)
    ready.deliver_here()
    with machine.disk(ready.src, DISK_BYTES, is_new=True):
        for name in ("lost+found", ".Trash-1000/files"):
            (ready.src / name).mkdir(parents=True)
        ready.write("something/else.txt")
        fault.check(ready.run("main.py", status=None), ready)
        assert ready.run("set_time.py", "now", "--path=something", status=5).stdout == ""

    assert not (ready.dst / "something").exists()
    assert_recovers(ready, tasks=len(ready.sent()))


@pytest.fixture
def linked(ready: Route) -> Route:
    """The same where SRC_DIR lies below a symlink, and all is delivered."""
    os.rename(ready.src, ready.folder / "run7")
    (ready.folder / "current").mkdir()
    os.rename(ready.folder / "run7", ready.folder / "current/tree")
    ready.src.symlink_to(ready.folder / "current/tree")
    ready.deliver_here()
    return ready


def other_run(route: Route, name: str) -> Path:
    """A folder with the same names as SRC_DIR, and other contents, on the same disk."""
    other = route.folder / name
    shutil.copytree(route.src, other)
    for path in other.rglob("*.txt"):
        path.write_text(f"another run's {path.name}")
    return other


@pytest.mark.fault(
    "the symlink SRC_DIR leads to another folder of the same disk, with the same names in it",
    sees=OTHER_FOLDER.format(there=0, checked=2),
    status=5,
    recorded="3 paths delivered; 2 tasks succeeded",
)
@pytest.mark.parametrize("place", ["SRC_DIR", "above it"])
def test_a_symlink_that_leads_to_another_folder_is_reported(linked: Route, fault: FaultCheck, place: str) -> None:
    other = other_run(linked, "other/tree")
    if place == "SRC_DIR":
        linked.src.unlink()
        linked.src.symlink_to(other)
    else:
        os.rename(linked.folder / "current", linked.folder / "away")
        (linked.folder / "current").symlink_to(linked.folder / "other")
    before = len(linked.sent())

    fault.check(linked.run("main.py", status=None), linked)

    assert len(linked.sent()) == before
    if place == "SRC_DIR":
        linked.src.unlink()
        linked.src.symlink_to(linked.folder / "current/tree")
    else:
        (linked.folder / "current").unlink()
        os.rename(linked.folder / "away", linked.folder / "current")
    assert_recovers(linked, tasks=2)


@pytest.mark.parametrize("step_ns", [1, 10**9, 2 * 10**9])
def test_a_tree_that_was_restored_is_no_trouble_even_where_times_lost_their_fractions(
    ready: Route, step_ns: int
) -> None:
    for number in range(4):
        path = ready.write(f"{number}.txt")
        os.utime(path, ns=(LAG_NS, LAG_NS + number))
    ready.deliver_here()
    copy = shutil.copytree(ready.src, ready.folder / "copy")
    for path in copy.rglob("*.txt"):
        moment_ns = path.stat().st_mtime_ns // step_ns * step_ns
        os.utime(path, ns=(moment_ns, moment_ns))
    for name in ("0.txt", "1.txt"):
        (copy / name).unlink()
    shutil.rmtree(ready.src)
    copy.rename(ready.src)

    summary = ready.deliver_here()

    assert (summary["status"], summary["vanished"]) == (0, 2)


def test_the_owner_of_a_rearranged_tree_on_another_disk_keeps_what_was_delivered(ready: Route) -> None:
    for number in range(4):
        ready.write(f"{number}.txt")
    ready.deliver_here()
    new = ready.folder / "new"
    shutil.copytree(ready.src / "sub", new / "sub")
    (new / "moved").mkdir()
    for number in range(4):
        shutil.copy2(ready.src / f"{number}.txt", new / "moved")
    shutil.rmtree(ready.src)
    new.rename(ready.src)
    ready.run("main.py", status=5, says="1 of 6 names recorded at its top are there unchanged")

    ready.run("set_time.py", "1970-01-02", says="2 paths count as transferred, 4 will be sent")
    summary = ready.deliver_here()

    assert (summary["status"], summary["new"]) == (0, 4)
    assert ready.sent_paths(ready.sent()[-1]) == {f"moved/{number}.txt" for number in range(4)}


def test_a_tree_whose_top_was_cleared_and_filled_anew_is_no_trouble(ready: Route) -> None:
    shutil.rmtree(ready.src / "sub")
    (ready.src / "a.txt").unlink()
    ready.write("next/1.txt")

    summary = ready.deliver_here()

    assert (summary["status"], summary["vanished"], summary["delivered"]) == (0, 2, 1)


@pytest.mark.fault(
    "the device of SRC_DIR has another number than before, as after a reboot",
    sees="",
    status=0,
    recorded=ON_ITS_WAY,
)
def test_another_device_number_alone_is_no_trouble(ready: Route, fault: FaultCheck) -> None:
    with machine.disk(ready.src, DISK_BYTES):
        fault.check(ready.run("main.py", status=None), ready)

    assert ready.sent_paths(ready.sent()[-1]) == {"sub/c.txt"}
    assert_recovers(ready, tasks=2)


# ---- changing under the scan -------------------------------------------------------------------------------------


def outside(route: Route) -> Path:
    """A folder beside SRC_DIR with what must never be sent."""
    secret = route.folder / "outside/deeper/secret.txt"
    secret.parent.mkdir(parents=True)
    secret.write_text("not for anyone")
    (route.folder / "outside/secret.txt").write_text("not for anyone")
    return route.folder / "outside"


@pytest.mark.fault(
    "contents changed, size and times put back",
    sees="a.txt: no, delivered at ..., but its ctime has changed since: its contents may have",
    status=3,
    recorded="2 paths delivered, 1 path under way; 1 task succeeded",
)
def test_times_that_were_put_back_stand_against_deleting(ready: Route, fault: FaultCheck) -> None:
    path = change_with_times_put_back(ready)
    ready.run_here("main.py")

    fault.check(ready.run("status.py", "--path", str(path), status=None), ready)


@pytest.mark.fault(
    "the same with COMPARE = 'ctime'",
    sees="",
    status=0,
    recorded="1 path delivered, 2 paths under way; 1 task succeeded",
)
def test_times_that_were_put_back_hide_nothing_where_ctimes_are_compared(ready: Route, fault: FaultCheck) -> None:
    change_with_times_put_back(ready)
    ready.configure(COMPARE="ctime")

    fault.check(ready.run("main.py", status=None), ready)

    assert_recovers(ready, tasks=2)


def change_with_times_put_back(route: Route) -> Path:
    """Rewrite a delivered file so that only its ctime shows it."""
    path = next(path for path in sorted(route.src.rglob("*")) if path.is_file())
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(path.read_bytes()[::-1])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return path


def check_nothing_came_from_outside(route: Route) -> None:
    """No task carried what lies outside SRC_DIR."""
    __tracebackhide__ = True
    assert not [path for document in route.sent() for path in route.sent_paths(document) if "secret" in path]
    assert not list(route.dst.rglob("secret.txt"))


def unlink(path: Path) -> None:
    path.unlink()


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    asked_ns = time.time_ns()
    # Later than the scan's start also by the steps of the file system's own clock.
    until(lambda: touched_at_ns(path) > asked_ns)


def touched_at_ns(path: Path) -> int:
    """Touch a path; returns the time that it has then."""
    path.touch()
    return path.stat().st_mtime_ns


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def rewrite(path: Path) -> None:
    path.write_text("other content")
    os.utime(path, (1_700_000_100, 1_700_000_100))  # settled


def make_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.fault(
    "a file vanishes, or becomes a link, a pipe or a folder, between its listing and the look at it",
    sees="",
    status=0,
    recorded=ON_ITS_WAY,
)
@pytest.mark.parametrize("change", [unlink, make_link, make_pipe, make_folder], ids=lambda change: change.__name__)
def test_a_file_that_changes_its_kind_under_the_scan_waits(
    ready: Route, fault: FaultCheck, change: Callable[[Path], None]
) -> None:
    path = ready.write("sub/fleeting.txt")
    with machine.Held(ready, "look", "fleeting.txt") as held:
        change(path)
        result = held.go_on()

    fault.check(result, ready)

    assert ready.sent_paths(ready.sent()[-1]) == {"sub/c.txt"}
    if path.exists() and not path.is_dir():
        path.unlink()
    assert_recovers(ready, tasks=3 if path.is_dir() else 2)


@pytest.mark.parametrize("change", [unlink, make_link, make_pipe, rewrite], ids=lambda change: change.__name__)
def test_a_delivered_file_that_changes_under_the_scan_is_seen_then_or_by_the_next_run(
    ready: Route, change: Callable[[Path], None]
) -> None:
    path = ready.write("sub/fleeting.txt")
    ready.deliver_here()
    before = len(ready.sent())
    with machine.Held(ready, "look", "fleeting.txt") as held:
        change(path)
        result = held.go_on()

    ready.deliver_here()

    assert result.status == 0
    assert len(ready.sent()) - before == (change is rewrite)
    assert change is not rewrite or ready.tree() == ready.tree(ready.dst)
    assert ready.summary_here()["new"] == 0


@pytest.mark.fault(
    "a folder vanishes between its listing and its opening",
    sees="",
    status=0,
    recorded=ON_ITS_WAY,
)
def test_a_folder_that_vanishes_under_the_scan_is_no_trouble(ready: Route, fault: FaultCheck) -> None:
    ready.write("fleeting/x.txt")
    with machine.Held(ready, "open", "fleeting") as held:
        shutil.rmtree(ready.src / "fleeting")
        result = held.go_on()

    fault.check(result, ready)

    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "a folder is replaced by a link out of SRC_DIR between its listing and its opening",
    sees="",
    status=0,
    recorded=ON_ITS_WAY,
)
def test_a_folder_that_becomes_a_link_under_the_scan_is_not_followed(ready: Route, fault: FaultCheck) -> None:
    ready.write("fleeting/x.txt")
    target = outside(ready)
    with machine.Held(ready, "open", "fleeting") as held:
        shutil.rmtree(ready.src / "fleeting")
        (ready.src / "fleeting").symlink_to(target)
        result = held.go_on()

    fault.check(result, ready)

    check_nothing_came_from_outside(ready)
    (ready.src / "fleeting").unlink()
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "a folder is replaced by a link out of SRC_DIR while a folder in it is about to be opened",
    sees="",
    status=0,
    recorded=ON_ITS_WAY,
)
def test_a_folder_above_that_becomes_a_link_under_the_scan_is_not_followed(ready: Route, fault: FaultCheck) -> None:
    ready.write("fleeting/deeper/x.txt")
    target = outside(ready)
    with machine.Held(ready, "open", "deeper") as held:
        shutil.rmtree(ready.src / "fleeting")
        (ready.src / "fleeting").symlink_to(target)
        result = held.go_on()

    fault.check(result, ready)

    check_nothing_came_from_outside(ready)
    (ready.src / "fleeting").unlink()
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "a delivered folder is moved away between its listing and its opening",
    sees="",
    status=0,
    recorded=DELIVERED,
)
def test_a_known_folder_that_is_away_for_a_moment_keeps_its_records(ready: Route, fault: FaultCheck) -> None:
    with machine.Held(ready, "open", "sub") as held:
        (ready.src / "sub").rename(ready.folder / "away")
        result = held.go_on()

    fault.check(result, ready)

    (ready.folder / "away").rename(ready.src / "sub")
    assert_recovers(ready, tasks=2)
    assert ready.sent_paths(ready.sent()[-1]) == {"sub/c.txt"}


@pytest.mark.fault(
    "SRC_DIR itself is moved away under the scan",
    sees="",
    status=0,
    recorded=ON_ITS_WAY,
)
def test_a_tree_that_is_moved_away_under_the_scan_arrives_once_it_is_back(ready: Route, fault: FaultCheck) -> None:
    with machine.Held(ready, "look", "c.txt") as held:
        away = ready.src.rename(ready.folder / "away")
        result = held.go_on()

    fault.check(result, ready)

    away.rename(ready.src)
    assert_recovers(ready, tasks=len(ready.sent()) + 1)
