"""The page docs/benchmarks.md, from results. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks import dask_cluster, goals, ours, peers
from benchmarks.goals import MEGABYTE, seconds_text
from benchmarks.native import DELAY_MS
from benchmarks.results import Results
from benchmarks.running import SAMPLE_SECONDS, Figures
from benchmarks.trees import FILES_A_FOLDER

INTRODUCTION = """\
# Benchmarks

Written by `make bench`; edits are lost. It says what a run of this tool costs on large trees, and what other tools
take to check the same files. None of them does the same: `find` and `fd` remember nothing, `rsync` and `rclone` read
the copy again, `restic` keeps a backup. They are the measure of what checking that many files takes."""
SMALL = "**This was a try on small trees.** Its figures say nothing about the goals."
METHOD = """\
- The trees are {files_a_folder} empty files to a folder, in folders three levels deep, with names of 20 characters and
  modification times 10 ms apart.
- All commands run in turns, one after the other in each round, and each round begins with another one. A figure is the
  median of the rounds, of the whole process from its start to its end. The memory is taken in a run before them.
- Right before each timed run the tree is walked by `floor.c` and the datastores are read, so that every command finds
  all of it in the caches; not on the slow file system, whose calls wait anyway.
- Memory is what all processes of a command hold together (PSS: what several share is counted once), sampled every
  {sample_ms:.0f} ms.
- "Processor" is the time of all processors together.
- Each command is checked: ours must count every file and every change, the others must find nothing changed.
- "Until they are planned" is a dry run: everything is read and compared, and what Globus would be asked is known.
  "Submitted" is a whole run with sign-in and submission, to the emulator in a process of its own on the same machine;
  so is the first run.
- The slow file system is this one with a library (`benchmarks/slow.c`) that makes each call about a file of the tree
  wait {delay_ms} ms. That every such call of a command was slow is checked too.
- The Dask cluster has two worker processes on this machine, started before the rounds and slowed like the commands.
- `floor.c` lists every folder and asks for the times of every file, and does nothing else: no scan can be faster with
  as many threads."""
NOTES = {
    ours.FULL: "what cron runs",
    ours.QUICK: 'the same with `SCAN = "quick"`',
    ours.PLANNED: "{changes:,} changed files",
    ours.SUBMITTED: "{changes:,} changed files, to the emulator",
    ours.FIRST: "everything is new, to the emulator",
    ours.DASK: "the memory and processor time of the cluster are not in the figures",
    peers.FLOOR_1: "the least that reading takes",
    peers.FLOOR_2: "the same with two threads",
    **{peer.title: peer.does for peer in peers.PEERS},
}


def page(results: Results, charts: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        charts: The file names of the charts: tools, sizes, slow. Without any, the page has none.
    """
    effort = results.effort
    is_small = effort.files != goals.FULL_EFFORT.files
    blocks = [
        INTRODUCTION,
        *([SMALL] if is_small else []),
        "## The machine",
        _machine(results),
        "## The goals",
        _table(
            ("case", "measured", "figure", "goal", ""),
            [(row.case, row.found, row.value, row.goal, f"**{row.verdict}**") for row in goals.rows(results)],
        ),
        f"## {effort.files:,} files",
        _commands(results.main, results),
        _chart(charts, "tools", "Seconds of each tool, nothing changed"),
        _missing(results),
        "## From small to large",
        _sizes(results),
        _chart(charts, "sizes", "Seconds by number of files"),
        f"## A slow file system: {effort.slow_files:,} files, {DELAY_MS} ms a call",
        _commands(results.slow, results) if results.slow else "Not measured here.",
        _chart(charts, "slow", "Seconds on a slow file system"),
        _dask(results),
        "## How it is measured",
        METHOD.format(files_a_folder=FILES_A_FOLDER, sample_ms=1000 * SAMPLE_SECONDS, delay_ms=DELAY_MS),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _chart(charts: Mapping[str, str], name: str, title: str) -> str:
    return f"![{title}]({charts[name]})" if name in charts else ""


def _machine(results: Results) -> str:
    machine = results.machine
    lines = [
        ("date", machine.date),
        ("processor", f"{machine.processor}, {machine.processors} to use"),
        ("memory", f"{machine.memory_bytes / 2**30:.0f} GiB"),
        ("system", machine.system),
        ("file system", machine.file_system),
        ("load at the start", f"{machine.load:.2f}"),
        ("versions", ", ".join([f"Python {machine.python}", *(f"{k} {v}" for k, v in results.versions.items())])),
    ]
    return _table(("what", ""), lines)


def _commands(figures: dict[str, Figures], results: Results) -> str:
    lines = []
    full = figures.get(ours.FULL)
    for title, found in sorted(figures.items(), key=lambda item: item[1].seconds):
        fastest, slowest = found.range_seconds
        memory = f"{found.peak_bytes / MEGABYTE:.1f} MB" if found.peak_bytes else ""
        ratio = f"{found.seconds / full.seconds:.2f}" if full else ""
        name = f"**{title}**" if title.startswith("main.py") else f"`{title}`"
        lines.append(
            (
                name,
                NOTES[title].format(changes=results.effort.changes),
                seconds_text(found.seconds),
                f"{fastest:.3f} to {slowest:.3f} ({len(found.runs)})",
                seconds_text(found.cpu_seconds),
                ratio,
                memory,
            )
        )
    header = ("command", "what it does", "median", "range (runs)", "processor", f"x {ours.FULL}", "peak memory")
    return _table(header, lines)


def _dask(results: Results) -> str:
    """When SCAN_EXECUTOR pays: from two trees, by the time that each file adds and the time that none adds."""
    small, large = results.effort.slow_files, max(results.effort.small_sizes)
    found = [figures.get(title) for title in (ours.FULL, ours.DASK) for figures in (results.slow, results.slow_large)]
    if small == large or None in found:
        return ""
    alone, alone_large, dask, dask_large = (figures.seconds for figures in found if figures)
    lines = [
        (f"{small:,}", seconds_text(alone), seconds_text(dask)),
        (f"{large:,}", seconds_text(alone_large), seconds_text(dask_large)),
    ]
    table = _table(("files", ours.FULL, ours.DASK), lines)
    return f"### When SCAN_EXECUTOR pays\n\n{table}\n\n" + dask_verdict(
        (large - small) / 1_000, (alone, alone_large), (dask, dask_large)
    )


def dask_verdict(thousands: float, alone: tuple[float, float], dask: tuple[float, float]) -> str:
    """In words, from the seconds on two trees; the larger one has `thousands` thousand files more.

    No other size is spoken of where the figures are too small to tell what a file adds.
    """
    alone_ms, dask_ms = (1_000 * (pair[1] - pair[0]) / thousands for pair in (alone, dask))
    if dask[1] <= alone[1]:
        return "Dask pays, on the larger tree at the latest."
    if min(alone_ms, dask_ms) <= 0:
        return "Dask does not pay on these trees."
    text = f"A thousand more files take this machine alone {alone_ms:.1f} ms, and the two workers {dask_ms:.1f} ms"
    if dask_ms < alone_ms:
        more = 1_000_000 * (dask[1] - alone[1]) / (alone_ms - dask_ms)
        return f"{text}: Dask pays from about {more:,.0f} files more than the larger tree has."
    workers = math.ceil(dask_cluster.WORKERS * dask_ms / alone_ms)
    return (
        f"{text}: two workers on the same machine do not pay on a tree of any size. At least {workers} such workers "
        "would, on machines of their own."
    )


def _missing(results: Results) -> str:
    return "\n".join(f"- `{title}` was not measured: {why}." for title, why in results.missing.items())


def _sizes(results: Results) -> str:
    titles = (ours.FULL, ours.QUICK, peers.FIND)
    every = {**results.sizes, **({} if not results.huge else {results.effort.huge_files: _huge(results)})}
    lines = []
    for files, figures in sorted(every.items()):
        cells = [f"{files:,}"]
        for title in titles:
            found = figures.get(title)
            cells.append(seconds_text(found.seconds) if found else "")
        found = figures[ours.FULL]
        cells.append(f"{found.peak_bytes / MEGABYTE:.1f} MB" if found.peak_bytes else "")
        lines.append(tuple(cells))
    return _table(("files", *titles, f"memory, {ours.FULL}"), lines)


def _huge(results: Results) -> dict[str, Figures]:
    return results.huge[results.effort.huge_files]


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(' '.join(c.replace('****', '').split()) for c in row)} |" for row in rows)
