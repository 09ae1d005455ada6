"""The goals, and whether they are met. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Optional

from benchmarks import ours, peers
from benchmarks.native import DELAY_MS
from benchmarks.results import Effort, Results
from benchmarks.running import Figures

# What the goals are about; on other sizes nothing is said about them.
FULL_EFFORT = Effort(
    files=1_000_000,
    changes=1_000,
    huge_files=10_000_000,
    small_sizes=(1_000, 20_000, 100_000),
    slow_files=20_000,
    runs=7,
    few_runs=3,
)
MEGABYTE = 1e6


class Row(NamedTuple):
    """A line of the table of goals.

    Args:
        case: What is measured.
        found: Our figure, and what it is compared with, in words; or why there is none.
        value, goal: The figure that decides ("" where there is none), and what it should be, in words.
        verdict: "met", "missed", or "" where nothing can be said.
    """

    case: str
    found: str
    value: str
    goal: str
    verdict: str


class _Asked(NamedTuple):
    """A figure and its bound."""

    case: str
    unit: str
    bound: float
    is_least: bool = False
    is_aim: bool = False


def rows(results: Results) -> list[Row]:
    """Every goal with what was found."""
    effort, full = results.effort, results.main[ours.FULL]
    quick, find = results.main[ours.QUICK], results.main.get(peers.FIND)
    big, huge = f"{effort.files:,} files", f"{effort.huge_files or FULL_EFFORT.huge_files:,} files"
    is_full_size = effort.files == FULL_EFFORT.files

    def row(asked: _Asked, value: Optional[float], found: str) -> Row:
        return _row(asked, value, found, is_about_goal=is_full_size)

    def against(asked: _Asked, mine: Optional[Figures], title: str, figures: dict[str, Figures]) -> Row:
        """A ratio to a peer: theirs to ours where it says how many times faster we are."""
        theirs = figures.get(title)
        if mine is None or theirs is None:
            return row(asked, None, f"{title}: {results.missing.get(title, 'not measured')}")
        ratio = theirs.seconds / mine.seconds if asked.is_least else mine.seconds / theirs.seconds
        return row(asked, ratio, f"{_seconds(mine)}; {title}: {_seconds(theirs)}")

    nothing = f"{big}, nothing changed, full scan"
    first, planned = results.main[ours.FIRST], results.main[ours.PLANNED]
    least = results.sizes[effort.small_sizes[0]][ours.FULL]
    slow = f"slow file system ({DELAY_MS} ms a call), {effort.slow_files:,} files"
    bytes_a_path = results.datastore_bytes / effort.files
    return [
        against(_Asked(nothing, "x find", 1.0), full, peers.FIND, results.main),
        against(_Asked(nothing, "x fd", 1.0, is_aim=True), full, peers.FD, results.main),
        against(_Asked(nothing, "x the floor", 1.5, is_aim=True), full, peers.FLOOR_2, results.main),
        row(_Asked(f"{nothing}, memory", "MB", 120), *_memory(full)),
        *_huge_rows(results, huge, row),
        row(
            _Asked(f"{big}, nothing changed, quick scan", "x find", 0.15),
            None if find is None else quick.seconds / find.seconds,
            _seconds(quick) if find is None else f"{_seconds(quick)}; {peers.FIND}: {_seconds(find)}",
        ),
        row(
            _Asked(f"{effort.changes:,} scattered changes in {big}", "s more", 0.5),
            planned.seconds - full.seconds,
            f"{_seconds(planned)} until they are planned; without changes {_seconds(full)}",
        ),
        row(
            _Asked(f"first run over {big}, submitted", "x no changes", 3.0),
            first.seconds / full.seconds,
            f"{_seconds(first)}; without changes {_seconds(full)}",
        ),
        against(_Asked(slow, "times faster than find", 15, is_least=True), _slow(results), peers.FIND, results.slow),
        against(_Asked(slow, "times faster than fd", 6, is_least=True), _slow(results), peers.FD, results.slow),
        row(
            _Asked(f"datastore, {big}", "bytes a path", 55),
            bytes_a_path,
            f"{results.datastore_bytes / MEGABYTE:.1f} MB",
        ),
        row(_Asked(f"{effort.small_sizes[0]:,} files, nothing to do", "s", 0.12), least.seconds, _seconds(least)),
    ]


def _slow(results: Results) -> Optional[Figures]:
    return results.slow.get(ours.FULL)


def _huge_rows(results: Results, huge: str, row: Callable[[_Asked, Optional[float], str], Row]) -> list[Row]:
    effort = results.effort
    time = _Asked(f"{huge}, nothing changed, full scan", f"x {effort.files:,} files", 10.5)
    memory = _Asked(f"{huge}, nothing changed, full scan, memory", "MB", 120)
    there = results.huge_figures(effort.huge_files, ours.FULL)
    here = results.huge_figures(effort.files, ours.FULL)
    if there is None or here is None:
        why = "not measured; `make bench ARGS=--huge` does"
        return [row(time, None, why), row(memory, None, why)]
    found = f"{_seconds(there)}; {effort.files:,} files: {_seconds(here)}"
    return [row(time, there.seconds / here.seconds, found), row(memory, *_memory(there))]


def _memory(figures: Figures) -> tuple[Optional[float], str]:
    if not figures.peak_bytes:
        return None, "not reported by this system"
    return figures.peak_bytes / MEGABYTE, "all processes together"


def _row(asked: _Asked, value: Optional[float], found: str, *, is_about_goal: bool) -> Row:
    goal = f"{'aim: ' if asked.is_aim else ''}at {'least' if asked.is_least else 'most'} {asked.bound:g} {asked.unit}"
    if value is None:
        return Row(asked.case, found, "", goal, "")
    is_met = value >= asked.bound if asked.is_least else value <= asked.bound
    verdict = ("met" if is_met else "missed") if is_about_goal else ""
    return Row(asked.case, found, f"{value:.{_digits(value)}f} {asked.unit}", goal, verdict)


def _digits(value: float) -> int:
    return 3 if abs(value) < 0.3 else 2 if abs(value) < 10 else 1


def _seconds(figures: Figures) -> str:
    return seconds_text(figures.seconds)


def seconds_text(seconds: float) -> str:
    """A duration with three digits or so."""
    return f"{seconds:.3f} s" if seconds < 0.5 else f"{seconds:.2f} s" if seconds < 20 else f"{seconds:.1f} s"
