"""The scan by several: the same folders in the same order, whoever looks; workers that die cost a retry."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from suite import ROOT, Route
from waiting import until

from autotransfer.common.settings import Settings
from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.scan import pool
from autotransfer.scan.folders import open_root, walk
from autotransfer.scan.listing import FolderResult, Listing, Policy, Unchanged
from autotransfer.scan.pool import Pool, WorkerSetup
from autotransfer.scan.scanner import Pace, Scanner
from autotransfer.scan.worker import FolderScanner, read_batch
from utils import load_settings

POLICY = Policy()


@pytest.fixture
def tree(lonely_route: Route) -> Route:
    """A few hundred folders, some deep, some with unusual content."""
    for number in range(300):
        lonely_route.write(f"{number % 7}/{number % 11}-x/{number}/a.dat", "x" * number)
        lonely_route.write(f"{number % 7}/{number}.dat")
    (lonely_route.src / "empty").mkdir()
    (lonely_route.src / "link").symlink_to("0")
    os.mkfifo(lonely_route.src / "0/pipe")
    return lonely_route


@pytest.fixture
def settings(tree: Route) -> Settings:
    return load_settings(str(tree.config))


@pytest.fixture
def root_fd(settings: Settings) -> Iterator[int]:
    opened = open_root(settings.src_dir)
    yield opened
    os.close(opened)


def surveyed(
    settings: Settings, root_fd: int, choose: Callable[[Pace], Pool | None], store: Store | None = None
) -> list[tuple[str, FolderResult]]:
    with store or Store(IN_MEMORY) as opened:
        return list(Scanner(settings, opened, root_fd, POLICY, clock_ns=lambda: 5, choose=choose))


def place(settings: Settings, root_fd: int, threads: int = 1) -> WorkerSetup:
    return WorkerSetup(settings.src_dir, os.fstat(root_fd).st_ino, POLICY, threads)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are called after the first folder."""
    monkeypatch.setattr("autotransfer.scan.scanner.PATIENCE_SECONDS", 0.0)


def test_threads_and_processes_see_what_one_process_sees_in_the_same_order(settings: Settings, root_fd: int) -> None:
    alone = surveyed(settings, root_fd, lambda pace: None)
    threads = surveyed(settings, root_fd, lambda pace: pool.of_threads(root_fd, POLICY))
    processes = surveyed(settings, root_fd, lambda pace: pool.of_processes(place(settings, root_fd), 2))
    both = surveyed(settings, root_fd, lambda pace: pool.of_processes(place(settings, root_fd, threads=4), 2))

    assert [rel_path for rel_path, _ in alone] == [listing.rel_path for listing in walk(root_fd, Policy())]
    assert len(alone) > 300
    assert {type(result) for _, result in alone} == {Listing}
    assert threads == processes == both == alone


class Dying:
    """A worker's look that ends its process at the second unit, once for each file of lives that is left."""

    def __init__(self, place: WorkerSetup, lives: Path) -> None:
        self.place = place
        self.lives = lives

    def __call__(self, rows: list[tuple[str, bytes | None]]) -> list[FolderResult]:
        for life in sorted(self.lives.iterdir())[:1]:
            life.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return read_batch(self.place.unit(rows))


@pytest.mark.parametrize("deaths", [1, 3, 40])
def test_a_worker_that_dies_costs_a_retry_and_not_the_run(
    settings: Settings, root_fd: int, tmp_path: Path, deaths: int
) -> None:
    lives = tmp_path / "lives"
    lives.mkdir()
    for number in range(deaths):
        (lives / f"{number:02}").touch()
    crews = []

    def choose(pace: Pace) -> Pool:
        start = partial(pool._processes, 2)
        crews.append(Pool(start, Dying(place(settings, root_fd), lives), workers=2, rows=4))
        return crews[0]

    seen = surveyed(settings, root_fd, choose)

    assert seen == surveyed(settings, root_fd, lambda pace: None)
    assert crews[0].failed_batches > 0
    assert len(list(lives.iterdir())) < deaths


def test_a_worker_that_sees_another_src_dir_is_not_believed(settings: Settings, root_fd: int, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    elsewhere = place(settings, root_fd)._replace(src_dir=str(tmp_path / "elsewhere"))

    seen = surveyed(settings, root_fd, lambda pace: pool.of_processes(elsewhere, 2))

    assert seen == surveyed(settings, root_fd, lambda pace: None)


def test_folders_that_only_a_worker_does_not_find_are_looked_at_here(settings: Settings, root_fd: int) -> None:
    def blind(rows: list[tuple[str, bytes | None]]) -> list[FolderResult]:
        return [FolderScanner(root_fd, POLICY)(f"nowhere/{rel_path}", None) for rel_path, _ in rows]

    seen = surveyed(settings, root_fd, lambda pace: Pool(partial(ThreadPoolExecutor, 2), blind, workers=2, rows=8))

    assert seen == surveyed(settings, root_fd, lambda pace: None)


def test_what_is_recorded_comes_back_as_counts(tree: Route, settings: Settings, root_fd: int) -> None:
    tree.run("set_time.py", "now")
    path = str(tree.code_path / "datastore")

    alone = surveyed(settings, root_fd, lambda pace: None, Store(path))
    others = surveyed(settings, root_fd, lambda pace: pool.of_processes(place(settings, root_fd), 2), Store(path))

    assert others == alone
    assert {type(result) for _, result in alone} == {Unchanged}


def test_workers_go_when_the_run_is_killed(tree: Route) -> None:
    # Each call takes long, so that the workers are still at it when the run dies.
    tree.configure(SCAN_WORKERS=2)
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from autotransfer.scan import pool\n"
        "executor = pool._processes(2)\n"
        "print(*[executor.submit(pool.os.getpid).result() for _ in range(20)], flush=True)\n"
        "executor.submit(time.sleep, 600); time.sleep(600)"
    )
    import subprocess
    import sys

    run = subprocess.Popen([sys.executable, "-c", program, str(ROOT)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    workers = {int(word) for word in run.stdout.readline().split()}
    run.kill()
    run.communicate()

    assert workers
    until(lambda: not any(_is_running(worker) for worker in workers))  # long before their sleep ends


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
