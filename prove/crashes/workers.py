"""Runs whose scan has processes of its own are killed in the middle of it: the processes go too, and free the lock."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

from suite import DST_ID, SRC_ID, Route

from emulator.http.server import Emulator
from emulator.world import Collection
from prove.crashes.watch import differences, processes_of
from prove.native import environment

FOLDERS = 240
# What each opening costs, so that a small tree is worth the workers of a large one.
BURNT_MICROSECONDS = 4000
LONGEST_SCAN_SECONDS = 60


def kill_with_workers(seed: int, folder: Path, library: Path, *, kills: int) -> int:
    """Kill runs while their workers scan, this number of times; returns the number of workers.

    Raises:
        AssertionError: A worker stayed, the next run could not have the lock, or something was not delivered.
    """
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    ends = [Collection(id=SRC_ID, root=Path("/")), Collection(id=DST_ID, root=Path("/"))]
    workers = 0
    with Emulator(ends) as globus:
        route = Route(folder, globus)
        route.configure(SCAN_WORKERS=2)
        for number in range(FOLDERS):
            route.write(f"{number}/a.dat", str(number))
        route.deliver()
        for number in range(kills):
            route.write(f"{chance.randrange(FOLDERS)}/{number}.dat", "new")
            route.environment = {
                **globus.environment(),
                **environment(library, code_path=route.code_path, src=route.src, log=folder / "calls"),
                "PROVE_BURN": str(BURNT_MICROSECONDS),
            }
            run = route.start("main.py")
            workers += len(_workers_of(run))
            time.sleep(chance.uniform(0, 0.2))
            run.kill()
            run.communicate()
            assert run.returncode == -signal.SIGKILL, f"it had ended before it was killed: {run.returncode}"
            orphans = processes_of(route.config)
            assert not orphans, f"processes are left behind: {orphans}"
            route.environment = globus.environment()
            if chance.random() < 0.5:
                route.run("main.py")
        route.deliver()
        missing = differences(route.src, route.dst)
        assert not missing, f"not delivered: {missing}"
    return workers


def _workers_of(run: subprocess.Popen[str]) -> list[str]:
    """The processes that a run has started, once there are any."""
    give_up_at = time.monotonic() + LONGEST_SCAN_SECONDS
    while time.monotonic() < give_up_at and run.poll() is None:
        try:
            found = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        except OSError:
            break  # it has ended
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"the run had no workers: {run.communicate()}")
