"""What a run with nothing to do costs: the whole process, as cron starts it every few minutes.

Makes trees of small files, marks them as delivered with set_time.py, and runs main.py on each several times. Beside
it runs `find -newermt`, which looks at the same paths and remembers nothing: what any scan costs at least.

    python benchmarks/nothing_to_do.py                      1,000 and 100,000 files
    python benchmarks/nothing_to_do.py --files 1000000      other sizes; --runs for more rounds
"""

# ruff: noqa: T201 - a program prints

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, Optional

ROOT = Path(__file__).resolve().parent.parent
FILES_A_FOLDER = 50
LONG_AGO = 1_700_000_000
RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024
SETTINGS = """\
SRC_DIR = {src!r}
DST_DIR = "/archive"
SRC_ID = DST_ID = CLIENT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
CODE_PATH = {state!r}
"""
# A goal is a number of files with the most seconds and megabytes that a run on them may take.
GOALS = {1_000: (0.2, None), 100_000: (None, 60.0)}


class Cost(NamedTuple):
    """What one process took: wall-clock seconds, processor seconds, and its largest resident memory.

    The kernel counts the memory of this program, which starts it, as the process's own until that has more.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def cost_of(command: list[str], *, environment: dict[str, str]) -> Cost:
    """Run a command to its end.

    Raises:
        RuntimeError: It failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_UNIT_BYTES)


def make_tree(top: Path, files: int) -> None:
    """Make so many files of a few bytes, 50 a folder."""
    for first in range(0, files, FILES_A_FOLDER):
        folder = top / f"run{first // 5000:03}" / f"scan{first // FILES_A_FOLDER:05}"
        folder.mkdir(parents=True)
        for number in range(first, min(first + FILES_A_FOLDER, files)):
            path = folder / f"frame_{number:07}.tif"
            path.write_bytes(b"x")
            os.utime(path, (LONG_AGO, LONG_AGO))


def measure(files: int, runs: int) -> dict[str, Cost]:
    """The median costs of a run on so many files, and of find."""
    with tempfile.TemporaryDirectory(prefix="nothing_to_do_") as name:
        folder = Path(name)
        src, state = folder / "src", folder / "state"
        src.mkdir()
        state.mkdir(mode=0o700)
        config = folder / "route.py"
        config.write_text(SETTINGS.format(src=str(src), state=str(state)))
        make_tree(src, files)
        bare = {"PATH": "/usr/bin:/bin"}
        script = [sys.executable, str(ROOT / "main.py"), "--config", str(config)]
        cost_of([sys.executable, str(ROOT / "set_time.py"), "--config", str(config), "now"], environment=bare)
        commands = {"main.py": script}
        if find := shutil.which("find"):
            commands["find -newermt"] = [find, str(src), "-newermt", "2100-01-01"]
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(runs + 1):  # in turns, so that what else the computer does strikes all alike
            for title, command in commands.items():
                costs[title].append(cost_of(command, environment=bare))
        # The first round fills the caches.
        return {title: median(found[1:]) for title, found in costs.items()}


def median(costs: list[Cost]) -> Cost:
    """The median of times, and the largest memory."""
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.cpu_seconds for cost in costs),
        max(cost.peak_bytes for cost in costs),
    )


def peak_text(peak_bytes: int) -> str:
    """The peak in megabytes, or "below" this program's own, which hides it."""
    own_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT_BYTES
    return f"{'< ' if peak_bytes <= own_bytes else ''}{peak_bytes / 1e6:.1f} MB"


def goal_text(files: int, cost: Cost) -> str:
    """Whether the goal for this size is met, in words; "" where there is none."""
    most_seconds, most_megabytes = GOALS.get(files, (None, None))
    verdicts = [
        *_verdict(cost.seconds, most_seconds, "s"),
        *_verdict(cost.peak_bytes / 1e6, most_megabytes, "MB"),
    ]
    return "; ".join(verdicts)


def _verdict(found: float, most: Optional[float], unit: str) -> list[str]:
    if most is None:
        return []
    return [f"goal {most:g} {unit}: {'met' if found < most else 'MISSED'}"]


def main() -> int:
    """Measure and print; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 100_000], help="sizes of the trees")
    parser.add_argument("--runs", type=int, default=7, help="how many runs the median is of (default: 7)")
    chosen = parser.parse_args()
    is_missed = False
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, {chosen.runs} runs each, caches warm")
    print(f"{'files':>9}  {'command':<14} {'median':>9} {'processor':>10} {'peak':>9}")
    for files in chosen.files:
        costs = measure(files, chosen.runs)
        for title, cost in costs.items():
            goal = goal_text(files, cost) if title == "main.py" else ""
            is_missed = is_missed or "MISSED" in goal
            print(
                f"{files:>9,}  {title:<14} {cost.seconds:>7.3f} s {cost.cpu_seconds:>8.3f} s "
                f"{peak_text(cost.peak_bytes):>9}  {goal}".rstrip()
            )
        if "find -newermt" in costs:
            ratio = costs["main.py"].seconds / costs["find -newermt"].seconds
            print(f"{'':>9}  main.py takes {ratio:.1f} times as long as find", flush=True)
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
