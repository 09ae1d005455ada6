"""Scans by a real Dask cluster, with SRC_DIR as what its workers share."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from suite import ROOT, Route

# The workers of a cluster import the code of the scan.
WITH_CODE = {"PYTHONPATH": str(ROOT)}
CLUSTER = """\
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        print(cluster.scheduler_address, *[nanny.pid for nanny in cluster.workers.values()], flush=True)
        sys.stdin.read()
"""

# A small tree is scanned by one process; this one calls the others for any.
IMPATIENT = """\
import sys
sys.path.insert(0, {root!r})
from autotransfer.scan import scanner
import main, utils
if __name__ == "__main__":
    scanner.PATIENCE_SECONDS = 0.0
    utils.run_script(main.main)
"""

needs_dask = pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="the extra [dask] is not installed")


@pytest.fixture
def tree(route: Route) -> Route:
    """A delivered tree, and some changes in it."""
    for number in range(600):
        route.write(f"{number % 20}/{number // 50}/{number}.dat", "x")
    route.run("set_time.py", "now")
    for number in (7, 471, 599):
        route.write(f"{number % 20}/{number // 50}/{number}.dat", "changed")
    route.write("new/folder/a.dat")
    (route.src / "0/0/0.dat").unlink()
    (route.folder / "impatient.py").write_text(IMPATIENT.format(root=str(ROOT)))
    return route


def run(route: Route, *options: str, status: int = 0) -> Any:
    """Run main.py, impatient for help, and give its summary; nothing of the scan may have to be done again."""
    done = subprocess.run(
        [sys.executable, str(route.folder / "impatient.py"), "--config", str(route.config), "--json", *options],
        env=route.bare_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[int]]]:
    """A Dask scheduler with two worker processes: its address, and the workers' process ids."""
    program = tmp_path / "cluster.py"
    program.write_text(CLUSTER)
    process = subprocess.Popen(
        [sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **WITH_CODE},
        cwd=tmp_path,
    )
    assert process.stdout is not None
    address, *pids = process.stdout.readline().split()
    yield address, [int(pid) for pid in pids]
    process.communicate(timeout=60)


def assert_found(summary: Any) -> None:
    """A run found exactly the changes."""
    assert (summary["new"], summary["modified"], summary["vanished"], summary["files"]) == (1, 3, 1, 600)


@needs_dask
def test_a_dask_cluster_scans(tree: Route, cluster: tuple[str, list[int]]) -> None:
    tree.configure(SCAN_EXECUTOR=f"dask:{cluster[0]}")

    summary = run(tree, "--wait", "60")

    assert_found(summary)
    assert summary["notices"] == []
    assert tree.summary()["submitted"] == 0


@needs_dask
def test_a_dask_worker_that_is_killed_costs_no_more_than_a_retry(tree: Route, cluster: tuple[str, list[int]]) -> None:
    tree.configure(SCAN_EXECUTOR=f"dask:{cluster[0]}")
    os.kill(cluster[1][0], signal.SIGKILL)

    summary = run(tree)

    assert_found(summary)
    assert summary["notices"] == []


@needs_dask
def test_a_cluster_that_cannot_be_reached_is_reported_and_the_scan_goes_on(tree: Route) -> None:
    tree.configure(SCAN_EXECUTOR="dask:tcp://127.0.0.1:9")

    summary = run(tree, status=3)

    assert_found(summary)
    assert summary["submitted"] > 0
    assert "'dask:tcp://127.0.0.1:9' could not be used" in summary["notices"][0]


def test_a_missing_package_of_the_executor_is_a_wrong_configuration(tree: Route) -> None:
    tree.configure(SCAN_EXECUTOR="dask:tcp://127.0.0.1:9")
    (tree.folder / "distributed").mkdir()  # beside the program, so it comes before the real one
    (tree.folder / "distributed/__init__.py").write_text("raise ModuleNotFoundError('no', name='distributed')\n")

    summary = run(tree, status=5)

    assert "Install the extra [dask]" in summary["problem"]


def test_mpi_is_refused_with_what_to_write_instead(tree: Route) -> None:
    tree.configure(SCAN_EXECUTOR="mpi")

    summary = run(tree, status=5)

    assert "SCAN_EXECUTOR no longer takes 'mpi'" in summary["problem"]
    assert "write 'dask:ADDRESS'" in summary["problem"]
