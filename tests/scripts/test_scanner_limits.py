"""Scans under bad luck: marks that must fall, limits of the system, signals, trees of odd shapes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from suite import DAY_SECONDS, LONG_AGO, ROOT, Route

from autotransfer.datastore import pickles
from autotransfer.datastore.store import Store
from emulator.http.server import Emulator


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
    assert route.deliver_here()["new"] == 4
    settle_folders(route.src)
    assert route.summary_here("--full")["scan"] == "full"
    assert route.summary_here()["scan"] == "quick"
    return route


def rewrite_in_place(route: Route, rel_path: str, mtime_seconds: float) -> None:
    """Write new content into a file without touching its folder."""
    with open(route.src / rel_path, "r+b") as file:
        file.write(b"rewritten in place")
    os.utime(route.src / rel_path, (mtime_seconds, mtime_seconds))


def test_what_a_full_scan_finds_unsettled_is_sent_by_a_quick_one(quick: Route) -> None:
    quick.configure(SETTLE_SECONDS=DAY_SECONDS)
    rewrite_in_place(quick, "a/x/1.dat", time.time() - 60)
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

    assert (shown["scan"], shown["failed"], shown["retried"]) == ("quick", 1, 1)


# A scan by several of the tree in argv[2] under the limit in argv[4]; says how many folders it came to, and skipped.
SURVEY = """
import os, resource, sys
sys.path.insert(0, sys.argv[1])
import concurrent.futures.process, concurrent.futures.thread, multiprocessing.connection, multiprocessing.popen_fork
from autotransfer.scan import pool, scanner
from autotransfer.scan.folders import open_root
from autotransfer.scan.listing import Policy
from autotransfer.datastore.store import IN_MEMORY, Store

class Settings:
    src_dir, scan_workers, scan_executor = sys.argv[2], 4, ""

scanner.PATIENCE_SECONDS, scanner.WORTH_PROCESSES_SECONDS = 0, -10**9
policy = Policy()
root_fd = open_root(Settings.src_dir)
setup = pool.WorkerSetup(Settings.src_dir, os.fstat(root_fd).st_ino, policy, 4)
limit, most = getattr(resource, sys.argv[3]), int(sys.argv[4])
choose = {"threads": lambda pace: pool.of_threads(root_fd, policy)}.get(sys.argv[5])
with Store(IN_MEMORY) as store:
    seen = scanner.Scanner(Settings, store, root_fd, policy, clock_ns=lambda: 5, choose=choose)
    if limit == resource.RLIMIT_NPROC and not os.getuid():
        os.setresuid(54321, 54321, 54321)  # no limit holds for root
    resource.setrlimit(limit, (most, most))
    skipped = [len(getattr(result, "errors", ())) for _, result, _ in seen]
    print(len(skipped), sum(skipped), bool(seen.pool_error), flush=True)
"""


def surveyed_under(limit: str, most: int, src: Path, *, by: str = "processes") -> str:
    """What the program says; it must end by itself, and say nothing else."""
    words = [sys.executable, "-W", "error", "-c", SURVEY, str(ROOT), str(src), limit, str(most), by]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ended.stderr == ""
    return ended.stdout.strip()


@pytest.fixture
def hundreds(lonely_route: Route) -> Path:
    """A tree of 421 folders, that at the top among them."""
    for number in range(400):
        lonely_route.write(f"{number % 20}/{number}/1.dat")
    return lonely_route.src


@pytest.mark.parametrize("most", [8, 12, 16, 64])
def test_too_few_descriptors_for_workers_leave_the_scan_to_one_process(hundreds: Path, most: int) -> None:
    assert surveyed_under("RLIMIT_NOFILE", most, hundreds) == f"421 0 {most < 64}"


@pytest.mark.parametrize("most", [7, 8, 40])
def test_threads_are_no_more_than_there_are_descriptors_for(hundreds: Path, most: int) -> None:
    assert surveyed_under("RLIMIT_NOFILE", most, hundreds, by="threads") == "421 0 False"


@pytest.mark.parametrize("by", ["processes", "threads"])
@pytest.mark.parametrize("most", [1, 2, 4, 6])
def test_too_few_processes_and_threads_leave_the_scan_to_those_there_are(hundreds: Path, most: int, by: str) -> None:
    assert surveyed_under("RLIMIT_NPROC", most, hundreds, by=by).startswith("421 0 ")


# Workers that never answer, as when a thread of the executor cannot start.
SILENT = """
import multiprocessing, os, sys, time
sys.path.insert(0, sys.argv[1])
from autotransfer.scan import pool
from autotransfer.scan.listing import Policy
from autotransfer.scan.worker import WorkerSetup

pool.START_SECONDS = 0.1
pool._enter_worker = lambda: time.sleep(600)
try:
    pool.of_processes(WorkerSetup("/", os.stat("/").st_ino, Policy(), 1), 2)
except pool.PoolUnavailable as error:
    print(error, flush=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks workers")
def test_processes_that_never_answer_are_ended_and_not_waited_for() -> None:
    words = [sys.executable, "-W", "error", "-c", SILENT, str(ROOT)]

    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the processes did not start (TimeoutError: )\n", "")


def test_what_waits_for_room_leaves_alone_what_a_task_carries_of_what_is_now_left_out(
    route: Route, globus: Emulator
) -> None:
    globus.world.set_progress("seconds:100000")
    route.configure(SETTLE_SECONDS=DAY_SECONDS, MAX_TASKS_IN_FLIGHT=1)
    route.write("p/ex/in-flight.dat")
    route.write("p/new.dat", mtime_seconds=time.time())
    assert route.summary()["submitted"] == 1

    route.configure(EXCLUDE=["ex"])
    os.utime(route.src / "p/new.dat", (LONG_AGO, LONG_AGO))
    assert route.summary()["waiting"] == 1

    route.configure(EXCLUDE=[], MAX_TASKS_IN_FLIGHT=2)
    assert route.summary()["submitted"] == 1
    assert [route.sent_paths(document) for document in route.sent()] == [{"p/ex/"}, {"p/new.dat"}]


@pytest.mark.parametrize("value", [{}, 5, {"at_ns": 1}, {"at_ns": "x", "basis": []}, {"at_ns": 1, "basis": [1]}])
def test_a_damaged_note_of_the_last_full_scan_is_one_clear_problem(lonely_route: Route, value: object) -> None:
    lonely_route.configure(SCAN="quick")
    lonely_route.run_here("set_time.py", "now")
    with Store(str(lonely_route.code_path / "datastore")) as store:
        store.shelf.table[b"FULL_SCAN"] = pickles.dump(value)
        store.commit()

    lonely_route.run("main.py", status=5, says="its entry FULL_SCAN has not the form that it should have")
