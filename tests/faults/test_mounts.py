"""Disks that are mounted inside SRC_DIR and are missing: their records stay, and every run and answer says so."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import machine
import pytest
from faulty import FaultCheck
from suite import Route

ON_DISK = ("run1/1.txt", "run1/deep/2.txt", "top.txt")
DELIVERED = "4 paths delivered; 1 task succeeded"
SEES = "Skipped ...a/disk: the disk that was mounted there is missing, or another is in its place; ... is kept."


class Mounted(NamedTuple):
    """A route with a disk mounted inside SRC_DIR, all delivered, and the options of its runs.

    Args:
        store: Where the disk is mounted, too: it keeps what it holds while it is not mounted inside SRC_DIR.
    """

    route: Route
    store: Path
    disk: Path
    options: tuple[str, ...]

    def mount(self) -> None:
        """Mount the disk inside SRC_DIR."""
        self.disk.mkdir(parents=True, exist_ok=True)
        call("mount", "--bind", str(self.store), str(self.disk))

    def unmount(self) -> None:
        """Take it away."""
        call("umount", str(self.disk))

    def summary(self, *options: str, status: int | None = 0) -> Any:
        """What a run did."""
        return self.route.summary_here(*self.options, *options, status=status)


def call(*words: str) -> None:
    subprocess.run(words, check=True)


def new_disk(folder: Path) -> None:
    """Mount an empty disk over a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    call("mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "none", str(folder))


@pytest.fixture(params=["full", "quick", "paths"])
def mounted(request: pytest.FixtureRequest, route: Route) -> Iterator[Mounted]:
    """A disk in SRC_DIR, under each kind of scan; the feed names nothing."""
    machine.must_mount()
    if request.param == "quick":
        route.configure(SCAN="quick")
    names = route.folder / "names"
    names.write_text("")
    options = ("--paths-from", str(names)) if request.param == "paths" else ()
    found = Mounted(route, route.folder / "disk", route.src / "a/disk", options)
    new_disk(found.store)
    try:
        found.mount()
        for name in ON_DISK:
            route.write(f"a/disk/{name}")
        route.write("beside.txt")
        assert found.summary("--wait")["delivered"] == 4
        assert found.summary("--wait")["submitted"] == 0
        yield found
    finally:
        for folder in (found.disk, found.disk, found.store):
            subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def leave_empty(mounted: Mounted) -> None:
    mounted.unmount()


def remove_folder(mounted: Mounted) -> None:
    mounted.unmount()
    mounted.disk.rmdir()


def remove_folder_above(mounted: Mounted) -> None:
    remove_folder(mounted)
    mounted.disk.parent.rmdir()


def leave_other_contents(mounted: Mounted) -> None:
    mounted.unmount()
    mounted.route.write("a/disk/other.txt")
    (mounted.disk / "run1").mkdir()


def mount_another(mounted: Mounted) -> None:
    mounted.unmount()
    new_disk(mounted.disk)
    mounted.route.write("a/disk/confidential.txt")


def put_a_file(mounted: Mounted) -> None:
    remove_folder(mounted)
    mounted.route.write("a/disk")


def put_a_link(mounted: Mounted) -> None:
    remove_folder(mounted)
    mounted.disk.symlink_to(mounted.route.folder)


@pytest.mark.fault(
    "a disk that was mounted inside SRC_DIR is missing, or another is in its place",
    sees=SEES,
    status=3,
    recorded=DELIVERED,
)
@pytest.mark.parametrize(
    "change",
    [leave_empty, remove_folder, leave_other_contents, mount_another, put_a_file, put_a_link],
    ids=lambda change: change.__name__,
)
def test_a_missing_disk_is_reported_by_every_run_and_its_records_stay(
    mounted: Mounted, fault: FaultCheck, change: Callable[[Mounted], None]
) -> None:
    route = mounted.route
    before = len(route.sent())
    change(mounted)

    fault.check(route.run("main.py", *mounted.options, status=None), route)

    again = mounted.summary(status=3)
    assert (again["errors"], again["vanished"], again["submitted"], len(route.sent())) == (1, 0, 0, before)
    for path in ("a/disk", "a/disk/run1", "a/disk/top.txt", "a", ""):
        is_outside = change is put_a_link and path.startswith("a/disk/")
        answer = route.run("status.py", "--path", str(route.src / path), status=2 if is_outside else 3)
        assert is_outside or "missing" in answer.stdout, answer
    if change is mount_another:
        subprocess.run(["umount", str(mounted.disk)], check=True)
    elif change is leave_other_contents:
        (mounted.disk / "other.txt").unlink()
    elif change in (put_a_file, put_a_link):
        mounted.disk.unlink()
    mounted.mount()
    back = mounted.summary("--wait")
    assert (back["status"], back["vanished"], back["submitted"], back["delivered"]) == (0, 0, 0, 0)
    assert route.run("status.py", "--path", str(mounted.disk)).status == 0


def test_a_missing_disk_whose_folder_above_is_gone_too_keeps_its_records(mounted: Mounted) -> None:
    remove_folder_above(mounted)

    summary = mounted.summary(status=3)

    assert (summary["errors"], summary["vanished"]) == (1, 0)


def test_a_task_that_ends_while_the_disk_is_missing_is_recorded_as_always(mounted: Mounted) -> None:
    route = mounted.route
    route.write("a/disk/run1/3.txt")
    assert mounted.summary("--full", status=0)["submitted"] == 1 if not mounted.options else feed(mounted)
    mounted.unmount()

    ended = mounted.summary(status=3)
    mounted.mount()

    assert (ended["delivered"], ended["vanished"]) == (1, 0)
    assert mounted.summary("--wait")["submitted"] == 0


def feed(mounted: Mounted) -> bool:
    """Whether a run with the new file's name submits it."""
    names = mounted.route.folder / "names"
    names.write_text("a/disk/run1/3.txt\n")
    is_submitted: bool = mounted.summary()["submitted"] == 1
    names.write_text("")
    return is_submitted


def test_what_a_feed_names_on_a_missing_disk_is_read_once_it_is_back(mounted: Mounted) -> None:
    route = mounted.route
    route.write("a/disk/run1/3.txt")
    mounted.unmount()
    (route.folder / "names").write_text("a/disk/run1/3.txt\n")
    assert mounted.summary(status=3)["submitted"] == 0
    (route.folder / "names").write_text("")
    mounted.mount()

    assert mounted.summary("--wait")["delivered"] == 1


def test_a_disk_with_another_device_number_or_restored_on_another_one_is_no_trouble(mounted: Mounted) -> None:
    mounted.unmount()
    new_disk(mounted.disk)
    shutil.copytree(mounted.store, mounted.disk, dirs_exist_ok=True)

    summary = mounted.summary("--wait")

    assert (summary["status"], summary["vanished"], summary["submitted"]) == (0, 0, 0)
    call("umount", str(mounted.disk))
    assert mounted.summary(status=3)["vanished"] == 0


def test_a_disk_whose_files_were_moved_into_the_folder_is_an_ordinary_folder_from_then_on(mounted: Mounted) -> None:
    mounted.unmount()
    shutil.copytree(mounted.store, mounted.disk, dirs_exist_ok=True)
    assert mounted.summary("--wait")["submitted"] == 0
    shutil.rmtree(mounted.disk)

    summary = mounted.summary("--full") if not mounted.options else mounted.summary()

    assert summary["vanished"] == (0 if mounted.options else 3)


def test_set_time_leaves_a_missing_disk_alone_until_it_is_named(mounted: Mounted) -> None:
    route = mounted.route
    mounted.unmount()

    everything = route.run("set_time.py", "now", status=3, says="a/disk: the disk that was mounted there is missing")
    part = route.run("set_time.py", "now", "--path", str(mounted.disk / "run1"), status=None)

    assert "1 path counts as transferred" in everything.stdout
    assert (part.status, "Nothing was changed" in part.stderr) == (2, True)
    assert mounted.summary(status=3)["vanished"] == 0


@pytest.mark.parametrize("change", [leave_empty, remove_folder], ids=lambda change: change.__name__)
def test_set_time_on_a_disk_says_that_it_is_gone_for_good(mounted: Mounted, change: Callable[[Mounted], None]) -> None:
    change(mounted)
    assert mounted.summary(status=3)["errors"] == 1

    mounted.route.run("set_time.py", "now", "--path", str(mounted.disk))

    summary = mounted.summary("--wait")
    assert (summary["status"], summary["errors"]) == (0, 0)
    mounted.mount()
    back = mounted.summary("--wait") if mounted.options else mounted.summary("--full", "--wait")
    assert mounted.options or back["new"] == 3


def test_files_that_are_removed_from_a_mounted_disk_are_forgotten(mounted: Mounted) -> None:
    for name in ("top.txt", "run1/1.txt", "run1/deep/2.txt"):
        (mounted.disk / name).unlink()

    summary = mounted.summary("--full") if not mounted.options else mounted.summary()

    assert (summary["status"], summary["vanished"]) == (0, 0 if mounted.options else 3)
