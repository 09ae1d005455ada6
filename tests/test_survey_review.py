"""Scans under bad luck: marks that must fall, limits of the system, signals, trees of odd shapes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from suite import LONG_AGO, Route

from emulator.server import Emulator


def settle_folders(top: Path) -> None:
    """Wait until no folder's own times are so new that a quick scan distrusts them."""
    newest = max(path.stat().st_ctime for path in [top, *top.rglob("*")])
    time.sleep(max(0.0, newest + 2.05 - time.time()))


@pytest.fixture
def quick(route: Route) -> Route:
    """A delivered tree of which a quick scan leaves out every folder."""
    route.configure(SCAN="quick")
    for folder in ("a/x", "b"):
        for name in ("1.dat", "2.dat"):
            route.write(f"{folder}/{name}", folder + name)
    assert route.deliver()["new"] == 4
    settle_folders(route.src)
    assert route.summary("--full")["scan"] == "full"
    assert route.summary()["scan"] == "quick"
    return route


def rewrite_in_place(route: Route, rel_path: str, mtime_seconds: float) -> None:
    """Write new content into a file without touching its folder."""
    with open(route.src / rel_path, "r+b") as file:
        file.write(b"rewritten in place")
    os.utime(route.src / rel_path, (mtime_seconds, mtime_seconds))


def test_what_a_full_scan_finds_unsettled_is_sent_by_a_quick_one(quick: Route) -> None:
    quick.configure(SETTLE_SECONDS=60)
    rewrite_in_place(quick, "a/x/1.dat", time.time() - 30)
    assert quick.summary("--full")["unsettled"] == 1

    quick.configure(SETTLE_SECONDS=5)
    summary = quick.deliver()

    assert (summary["scan"], summary["modified"]) == ("quick", 1)
    assert quick.tree(quick.dst) == quick.tree()


def test_a_quick_dry_run_shows_what_a_task_that_just_failed_gives_back(quick: Route, globus: Emulator) -> None:
    rewrite_in_place(quick, "a/x/1.dat", LONG_AGO + 100)
    globus.world.set_progress("seconds:1000")
    assert quick.summary("--full")["submitted"] == 1
    assert quick.summary()["in_flight_tasks"] == 1  # it marks the folder: what it holds is in flight as it is
    (task,) = (task for task in globus.world.tasks.values() if task.is_open)
    globus.world.change_task(task.task_id, cancel_by_admin="SOURCE")

    shown = quick.summary("--dry-run", status=3)

    assert (shown["scan"], shown["failed"], shown["retry"]) == ("quick", 1, 1)
