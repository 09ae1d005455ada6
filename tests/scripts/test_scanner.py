"""The scan by several: the same folders in the same order, whoever looks; workers that die cost a retry."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from suite import ROOT, Route
from waiting import until

from autotransfer.common.settings import Settings
from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.scan import pool
from autotransfer.scan.folders import open_root, walk
from autotransfer.scan.listing import FolderResult, Listing, Policy, Unchanged
from autotransfer.scan.pool import Pool
from autotransfer.scan.scanner import FEWEST_READS, Pace, Scanner
from autotransfer.scan.worker import FolderRow, FolderScanner, WorkerSetup, read_batch
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
    """Each folder with what it holds."""
    with store or Store(IN_MEMORY) as opened:
        folders = Scanner(settings, opened, root_fd, POLICY, clock_ns=lambda: 5, choose=choose)
        return [(folder.rel_path, folder.result) for folder in folders]


def setup_for(settings: Settings, root_fd: int, threads: int = 1) -> WorkerSetup:
    return WorkerSetup(settings.src_dir, os.fstat(root_fd).st_ino, POLICY, threads)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are called after the first folder."""
    monkeypatch.setattr("autotransfer.scan.scanner.PATIENCE_SECONDS", 0.0)


def test_threads_and_processes_see_what_one_process_sees_in_the_same_order(settings: Settings, root_fd: int) -> None:
    alone = surveyed(settings, root_fd, lambda pace: None)
    threads = surveyed(settings, root_fd, lambda pace: pool.of_threads(root_fd, POLICY))
    processes = surveyed(settings, root_fd, lambda pace: pool.of_processes(setup_for(settings, root_fd), 2))
    both = surveyed(settings, root_fd, lambda pace: pool.of_processes(setup_for(settings, root_fd, threads=4), 2))

    assert [rel_path for rel_path, _ in alone] == [listing.rel_path for listing in walk(root_fd, Policy())]
    assert len(alone) > 300
    assert {type(result) for _, result in alone} == {Listing}
    assert threads == processes == both == alone


def die(setup: WorkerSetup, deadly: Path, rows: list[FolderRow]) -> list[FolderResult]:
    """A worker's work; the first process that comes to it with this file there ends as if it had been killed."""
    with suppress(FileNotFoundError):
        deadly.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return read_batch(setup, rows)


@pytest.mark.parametrize("at_batch", [0, 5])
def test_when_a_worker_dies_the_run_reads_the_rest_itself(
    settings: Settings, root_fd: int, tmp_path: Path, at_batch: int
) -> None:
    deadly = tmp_path / "deadly"
    setup = setup_for(settings, root_fd)
    pools = []

    def choose(pace: Pace) -> Pool:
        executor = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
        numbers = count()

        def submit(rows: list[FolderRow]) -> Future[list[FolderResult]]:
            if next(numbers) == at_batch:
                deadly.touch()
            return executor.submit(die, setup, deadly, rows)

        pools.append(Pool(submit, executor.shutdown, workers=2, rows=4))
        return pools[0]

    seen = surveyed(settings, root_fd, choose)

    assert seen == surveyed(settings, root_fd, lambda pace: None)
    assert pools[0].failed_batches > 0
    assert "BrokenProcessPool" in pools[0].last_error
    assert not pools[0].submit([])
    assert not deadly.exists()


def test_a_worker_that_sees_another_src_dir_is_not_believed(settings: Settings, root_fd: int, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    elsewhere = setup_for(settings, root_fd)._replace(src_dir=str(tmp_path / "elsewhere"))

    seen = surveyed(settings, root_fd, lambda pace: pool.of_processes(elsewhere, 2))

    assert seen == surveyed(settings, root_fd, lambda pace: None)


def test_folders_that_only_a_worker_does_not_find_are_looked_at_here(settings: Settings, root_fd: int) -> None:
    def blind(rows: list[FolderRow]) -> list[FolderResult]:
        return [FolderScanner(root_fd, POLICY)(f"nowhere/{rel_path}", None) for rel_path, _ in rows]

    executor = ThreadPoolExecutor(2)

    seen = surveyed(
        settings,
        root_fd,
        lambda pace: Pool(lambda rows: executor.submit(blind, rows), executor.shutdown, workers=2, rows=8),
    )

    assert seen == surveyed(settings, root_fd, lambda pace: None)


def test_processes_are_not_started_before_it_is_known_whether_calls_are_slow(
    settings: Settings, root_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    started_at: list[int] = []

    def of_processes(setup: WorkerSetup, count: int) -> Pool:
        started_at.append(len(given))
        raise pool.PoolUnavailable("not here")

    monkeypatch.setattr(pool, "of_processes", of_processes)
    monkeypatch.setattr("autotransfer.scan.scanner.WORTH_PROCESSES_SECONDS", 0.0)
    monkeypatch.setattr("autotransfer.scan.scanner._is_on_network", lambda root_fd: False)
    monkeypatch.setattr("autotransfer.scan.scanner.SLOW_SECONDS", 10**9)
    with Store(IN_MEMORY) as store:
        for rel_path, *_ in Scanner(settings, store, root_fd, POLICY, clock_ns=lambda: 5):
            given.append(rel_path)

    files = sum(len(os.listdir(os.path.join(settings.src_dir, path))) for path in given[: started_at[0]])
    assert len(started_at) == 1  # asked once, whatever comes after
    assert 0 < started_at[0] < len(given)
    assert started_at[0] + files >= FEWEST_READS


def test_what_is_recorded_comes_back_as_counts(tree: Route, settings: Settings, root_fd: int) -> None:
    tree.run("set_time.py", "now")
    path = str(tree.code_path / "datastore")

    alone = surveyed(settings, root_fd, lambda pace: None, Store(path))
    others = surveyed(settings, root_fd, lambda pace: pool.of_processes(setup_for(settings, root_fd), 2), Store(path))

    assert others == alone
    assert {type(result) for _, result in alone} == {Unchanged}


def test_workers_end_when_the_run_is_killed() -> None:
    program = (
        "import multiprocessing, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from autotransfer.scan import pool, worker\n"
        "workers = pool.of_processes(worker.WorkerSetup('/', 0, worker.Policy(), 1), 2)\n"
        "print(*[child.pid for child in multiprocessing.active_children()], flush=True); time.sleep(600)"
    )
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
