"""Run commands in turns, and give what each took."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

SAMPLE_SECONDS = 0.01
# Linux does, unless it is built without the list of a process's children.
TELLS_MEMORY = all(os.path.exists(path) for path in ("/proc/self/smaps_rollup", "/proc/thread-self/children"))


class Unfit(Exception):
    """A command did not do what it is measured at; says why."""


@contextmanager
def as_it_is() -> Iterator[Mapping[str, str]]:
    """Nothing around a command."""
    yield {}


class Command(NamedTuple):
    """A command to measure.

    Args:
        check: Raises Unfit unless what the command printed shows that it did its work.
        before: Called right before each run, not timed.
        around: Made before each run and undone after it, not timed; gives variables for the command.
        most_runs: How often it is run at most, for what takes long.
        is_needed: Whether the benchmark ends when it fails; otherwise it is left out, with the reason.
    """

    title: str
    words: Sequence[str]
    check: Callable[[str], object]
    variables: Mapping[str, str] = {}
    before: Callable[[], object] = lambda: None
    around: Callable[[], AbstractContextManager[Mapping[str, str]]] = as_it_is
    most_runs: int = 1_000_000
    is_needed: bool = True


class Run(NamedTuple):
    """What one run took: wall-clock seconds, and seconds of all processors."""

    seconds: float
    cpu_seconds: float


class Figures(NamedTuple):
    """What a command took.

    Args:
        runs: The timed ones.
        peak_bytes: The most memory that its processes held together in a run of its own that was not timed; 0 when
            the system does not tell.
    """

    runs: tuple[Run, ...]
    peak_bytes: int

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        """The median."""
        return statistics.median(run.cpu_seconds for run in self.runs)

    @property
    def range_seconds(self) -> tuple[float, float]:
        """The fastest and the slowest."""
        found = [run.seconds for run in self.runs]
        return min(found), max(found)


class Measured(NamedTuple):
    """What commands took, by title; and why others were left out."""

    figures: dict[str, Figures]
    left_out: dict[str, str]


def measure(commands: Sequence[Command], *, runs: int, folder: Path) -> Measured:
    """Run all commands once for their memory, then in turns for their times.

    Every round runs each command once, so that whatever else the machine does strikes all alike; each round begins with
    another one.

    Args:
        folder: HOME of the commands.

    Raises:
        Unfit: A command that is needed failed.
    """
    peaks: dict[str, int] = {}
    found: dict[str, list[Run]] = {}
    left_out: dict[str, str] = {}
    for number in range(runs + 1):
        start = number % len(commands)
        for command in [*commands[start:], *commands[:start]]:
            if command.title in left_out or number > command.most_runs:
                continue
            try:
                run, peak_bytes = _run(command, folder, is_sampled=number == 0)
            except Unfit as why:
                if command.is_needed:
                    raise Unfit(f"{command.title}: {why}") from None
                left_out[command.title] = str(why)
                continue
            if number == 0:
                peaks[command.title] = peak_bytes
            else:
                found.setdefault(command.title, []).append(run)
    figures = {title: Figures(tuple(took), peaks[title]) for title, took in found.items() if title not in left_out}
    return Measured(figures, left_out)


def once(words: Sequence[str], *, folder: Path, variables: Mapping[str, str] = {}) -> str:
    """Run a command that is not measured; gives what it printed.

    Raises:
        Unfit: It failed.
    """
    printed: list[str] = []
    _run(Command(words[0], words, printed.append, variables), folder)
    return printed[0]


def _run(command: Command, folder: Path, *, is_sampled: bool = False) -> tuple[Run, int]:
    peak_bytes = 0
    with command.around() as more, tempfile.TemporaryFile() as output:
        command.before()
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), **command.variables, **more}
        started = time.perf_counter()
        process = subprocess.Popen(
            command.words, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        while (
            is_sampled and TELLS_MEMORY and not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        ):
            peak_bytes = max(peak_bytes, _memory_bytes(process.pid))
            time.sleep(SAMPLE_SECONDS)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read().decode(errors="replace")
        if process.returncode != 0:
            raise Unfit(f"it ended with {process.returncode}: {printed.strip()[-500:]}")
        command.check(printed)
    return Run(seconds, usage.ru_utime + usage.ru_stime), peak_bytes


def _memory_bytes(top: int) -> int:
    """What a process and all below it hold of the memory now; what several share is counted once."""
    total = 0
    pids = [top]
    for pid in pids:  # it grows
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
                total += next((int(line.split()[1]) * 1024 for line in rollup if line.startswith(b"Pss:")), 0)
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children", "rb") as children:
                    pids += map(int, children.read().split())
        except OSError:  # it has ended meanwhile
            continue
    return total
