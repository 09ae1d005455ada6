"""A local Dask cluster of two worker processes, to scan with SCAN_EXECUTOR."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.running import Unfit

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2


@contextmanager
def cluster(folder: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """The address of a cluster that runs in the block.

    Args:
        folder: HOME of its processes.
        variables: Of its workers' environment.

    Raises:
        Unfit: It did not start.
    """
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT), **variables}
    words = [sys.executable, "-m", "benchmarks.dask_cluster"]
    process = subprocess.Popen(
        words, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().decode().strip()
        if not address:
            raise Unfit("its cluster did not start")
        yield address
    finally:
        process.communicate()


def _serve() -> None:
    from distributed import LocalCluster

    make: type = LocalCluster  # it has no annotations
    with make(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve()
