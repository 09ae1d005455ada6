"""The benchmark: on small trees it ends well and its page says everything; no time is asserted."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from suite import ROOT

from benchmarks import goals, native, ours, peers, trees
from benchmarks.page import dask_verdict, page
from benchmarks.results import Machine, Results
from benchmarks.running import TELLS_MEMORY, Command, Figures, Run, Unfit, measure

LONG_SETTLE_NS = 24 * 3600 * 10**9  # no sensible SETTLE_SECONDS is longer than a day
MACHINE = Machine("A processor", 2, 2**34, "A system", "ext4", "3.11", 0.0, "2026-11-22")


@dataclasses.dataclass
class Written:
    """What `python -m benchmarks --small` left."""

    docs: Path
    page: str
    printed: str

    def section(self, title: str) -> str:
        """The part of the page below a heading that begins so."""
        _, rest = self.page.split(f"\n## {title}", 1)
        return rest.split("\n## ")[0]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("benchmarks")
    docs, trees_made = folder / "docs", folder / "trees"
    trees_made.mkdir()
    words = [sys.executable, "-m", "benchmarks", "--small", "--docs", str(docs), "--folder", str(trees_made)]
    process = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert not any(trees_made.iterdir()), "trees were left behind"
    yield Written(docs, (docs / "benchmarks.md").read_text(encoding="utf-8"), process.stdout + process.stderr)


def rows(section: str) -> list[list[str]]:
    """The cells of the tables in a section, without their headers."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line][1:]


def test_a_small_benchmark_has_a_figure_for_every_goal(written: Written) -> None:
    found = rows(written.section("The goals"))

    assert len(found) == 13
    for case, measured, figure, goal, verdict in found:
        why_none = " fd " in f" {measured} " or not sys.platform.startswith("linux") or shutil.which("cc") is None
        assert re.match(r"-?[\d.]+ ", figure) or why_none, (case, measured)
        assert goal.partition(" at ")[2] or goal.startswith("at "), case
        assert verdict == "", "small trees say nothing about the goals"
    assert "This was a try on small trees." in written.page


def test_each_tool_is_measured_or_said_to_be_missing(written: Written) -> None:
    section = written.section("1,000 files")
    measured = {row[0].strip("*`") for row in rows(section)}

    assert {ours.FULL, ours.QUICK, ours.PLANNED, ours.SUBMITTED, ours.FIRST} <= measured
    for title in (*(peer.title for peer in peers.PEERS), peers.FLOOR_1, peers.FLOOR_2):
        is_missing = f"- `{title}` was not measured: " in section
        assert (title in measured) != is_missing, title
    installed = {peer.title for peer in peers.PEERS if peer.program}
    assert installed <= measured


def test_the_page_names_the_machine_and_the_versions(written: Written) -> None:
    told = {row[0]: row[1] for row in rows(written.section("The machine"))}

    assert set(told) == {"date", "processor", "memory", "system", "file system", "load at the start", "versions"}
    assert told["versions"].startswith(f"Python {sys.version.split()[0]}")
    assert "unknown" not in told["file system"]


def test_the_page_shows_the_charts_that_were_drawn(written: Written) -> None:
    names = re.findall(r"!\[[^]]+\]\(([^)]+)\)", written.page)

    assert sorted(names) == sorted(path.name for path in written.docs.glob("*.svg"))
    if importlib.util.find_spec("matplotlib") is None:
        assert "no charts" in written.printed
    else:
        assert "benchmarks-tools.svg" in names
        for name in names:
            assert "<svg" in (written.docs / name).read_text(encoding="utf-8")


# ---- the measuring itself --------------------------------------------------------------------------------------------


def test_a_tree_has_as_many_empty_files_as_asked_for(tmp_path: Path) -> None:
    trees.make(tmp_path / "src", 120)

    files = [path for path in (tmp_path / "src").rglob("*") if path.is_file()]
    assert len(files) == 120
    assert {len(path.name) for path in files} == {20}
    assert {len(path.relative_to(tmp_path / "src").parts) for path in files} == {4}
    assert all(path.stat().st_size == 0 for path in files)


def test_scattered_changes_leave_the_tree_as_it_was(tmp_path: Path) -> None:
    trees.make(tmp_path / "src", 120)
    files = sorted(path for path in (tmp_path / "src").rglob("*") if path.is_file())
    before = [(path.stat().st_mtime_ns, path.stat().st_size) for path in files]

    with trees.changed(tmp_path / "src", 120, 30):
        during = [(path.stat().st_mtime_ns, path.stat().st_size) for path in files]

    assert sum(now != then for now, then in zip(during, before)) == 30
    assert [(path.stat().st_mtime_ns, path.stat().st_size) for path in files] == before


def test_changes_are_newer_than_the_tree_and_settled_however_fast_it_was_made(tmp_path: Path) -> None:
    made_from_ns = time.time_ns()
    trees.make(tmp_path / "src", 120)
    files = [path for path in (tmp_path / "src").rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}

    with trees.changed(tmp_path / "src", 120, 30):
        during = {path: path.stat().st_mtime_ns for path in files}

    changed = [path for path in files if path.stat().st_mtime_ns != during[path]]
    assert len(changed) == 30
    assert len(set(before.values())) == 120, "each file has a time of its own"
    assert all(during[path] > before[path] for path in changed)
    assert max(*before.values(), *during.values()) < made_from_ns - LONG_SETTLE_NS


def test_a_tree_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    if not os.statvfs(tmp_path).f_files:
        pytest.skip("this file system has as many inodes as it likes")

    with pytest.raises(trees.NoRoom, match=r"needs 1,0\d\d,\d{3},\d{3},\d{3} inodes, and "):
        trees.make(tmp_path / "src", 10**12)


def test_a_peer_that_fails_is_left_out_with_the_reason_and_one_of_ours_ends_it_all(tmp_path: Path) -> None:
    good = Command("good", ["true"], lambda printed: None)
    bad = Command("bad", ["sh", "-c", "echo no such tree; exit 3"], lambda printed: None, is_needed=False)

    measured = measure([good, bad], runs=2, folder=tmp_path)

    assert len(measured.figures["good"].runs) == 2
    assert measured.left_out == {"bad": "it ended with 3: no such tree"}
    with pytest.raises(Unfit, match="bad: it ended with 3"):
        measure([bad._replace(is_needed=True)], runs=1, folder=tmp_path)


def test_a_peer_that_fails_in_a_later_round_is_left_out_too(tmp_path: Path) -> None:
    good = Command("good", ["true"], lambda printed: None)
    once = Command("once", ["mkdir", str(tmp_path / "made")], lambda printed: None, is_needed=False)

    measured = measure([good, once], runs=2, folder=tmp_path)

    assert list(measured.figures) == ["good"]
    assert "File exists" in measured.left_out["once"]


def test_what_a_command_wants_before_it_is_done_before_every_run(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("")

    def add() -> None:
        count.write_text(count.read_text() + "+")

    def one_more(printed: str) -> None:
        seen.append(printed)

    seen: list[str] = []
    measure([Command("show", ["cat", str(count)], one_more, before=add)], runs=2, folder=tmp_path)

    assert seen == ["+", "++", "+++"]


def test_memory_is_that_of_all_processes_together(tmp_path: Path) -> None:
    if not TELLS_MEMORY:
        pytest.skip("this system does not tell the memory of processes")
    grow = "import time; held = bytearray(30_000_000); held[::4096] = bytes(len(held[::4096])); time.sleep(0.4)"
    two = f"import subprocess, sys; a = subprocess.Popen([sys.executable, '-c', {grow!r}]); {grow}; a.wait()"

    figures = measure([Command("two", [sys.executable, "-c", two], str)], runs=1, folder=tmp_path).figures["two"]

    assert 60e6 < figures.peak_bytes < 120e6


def test_the_floor_looks_at_every_file(tmp_path: Path) -> None:
    floor = native.floor(tmp_path)
    if floor is None:
        pytest.skip("cc is not installed")
    trees.make(tmp_path / "src", 1_234)

    for threads in ("1", "2", "7"):
        words = [str(floor), str(tmp_path / "src"), threads]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "1234\n"


def test_a_command_whose_looks_are_not_slow_is_found_out(tmp_path: Path) -> None:
    library = native.slowness(tmp_path)
    if library is None:
        pytest.skip("a slow file system needs Linux and a C compiler")
    trees.make(tmp_path / "src", 100)
    find = [str(shutil.which("find")), str(tmp_path / "src"), "-newermt", "2100-01-01"]

    with native.slowed(library, tmp_path / "src", calls=100) as variables:
        subprocess.run(find, env={**os.environ, **variables}, check=True)
    with pytest.raises(Unfit, match="only 0 of its 100 calls"), native.slowed(library, tmp_path / "src", calls=100):
        subprocess.run(find, check=True)


# ---- the verdicts ----------------------------------------------------------------------------------------------------


def results(seconds: dict[str, float], *, peak_bytes: int = 10**8) -> Results:
    """Results at full size, with these medians on the tree that most goals are about."""
    default = {ours.FULL: 1.5, ours.QUICK: 0.1, ours.PLANNED: 1.9, ours.FIRST: 4.0, peers.FIND: 1.7}
    figures = {title: Figures((Run(took, took),), peak_bytes) for title, took in {**default, **seconds}.items() if took}
    effort = goals.FULL_EFFORT
    sizes = dict.fromkeys((*effort.small_sizes, effort.files), figures)
    return Results(effort, MACHINE, {}, sizes, {}, figures, 50 * effort.files, {}, {})


def verdicts(found: Results) -> dict[str, str]:
    """What is said of each goal."""
    return {f"{row.case}: {row.goal}": row.verdict for row in goals.rows(found)}


def test_a_goal_is_met_or_missed_at_full_size() -> None:
    case = "1,000,000 files, nothing changed, full scan: at most 1 x find"

    assert verdicts(results({}))[case] == "met"
    assert verdicts(results({ours.FULL: 1.71}))[case] == "missed"
    assert verdicts(results({peers.FIND: 0.0}))[case] == ""


def test_a_goal_to_be_faster_is_missed_when_we_are_not() -> None:
    case = "slow file system (0.2 ms a call), 20,000 files: at least 15 times faster than find"

    assert verdicts(results({}))[case] == "missed"
    assert verdicts(results({ours.FULL: 0.1}))[case] == "met"


def test_memory_and_changes_have_bounds_of_their_own() -> None:
    memory = "1,000,000 files, nothing changed, full scan, memory: at most 120 MB"
    changes = "1,000 scattered changes in 1,000,000 files: at most 0.5 s more"

    assert [verdicts(results({}, peak_bytes=size))[memory] for size in (119 * 10**6, 121 * 10**6)] == ["met", "missed"]
    assert [verdicts(results({ours.PLANNED: took}))[changes] for took in (1.99, 2.01)] == ["met", "missed"]


def test_without_the_huge_tree_the_page_says_how_to_get_its_figures() -> None:
    text = page(results({}), {})

    assert text.count("not measured; `make bench ARGS=--huge` does") == 2
    assert "try on small trees" not in text
    assert "![" not in text


@pytest.mark.parametrize(
    ("alone", "dask", "words"),
    [
        ((1.0, 5.0), (2.0, 4.0), "Dask pays, on the larger tree at the latest."),
        ((1.0, 5.0), (5.0, 7.0), "Dask pays from about 80,000 files more than the larger tree has."),
        ((1.0, 2.0), (2.0, 4.0), "At least 4 such workers would"),
        ((0.2, 0.1), (0.5, 0.6), "Dask does not pay on these trees."),
    ],
)
def test_the_page_says_when_dask_pays(alone: tuple[float, float], dask: tuple[float, float], words: str) -> None:
    assert words in dask_verdict(80.0, alone, dask)


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="the extra [dask] is not installed")
def test_the_page_compares_a_dask_cluster_on_the_slow_file_system(written: Written) -> None:
    section = written.section("A slow file system")
    if "Not measured here." in section:
        pytest.skip("a slow file system needs Linux and a C compiler")

    assert ours.DASK in {row[0].strip("*`") for row in rows(section)}
    assert "### When SCAN_EXECUTOR pays" in section
    assert "Dask" in section.rstrip().splitlines()[-1] or "workers" in section.rstrip().splitlines()[-1]


def test_a_long_list_is_read_to_its_end_with_at_most_one_page_twice() -> None:
    words = [sys.executable, str(ROOT / "benchmarks/long_lists.py"), "--files", "2200", "--page-size", "10"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300).stdout

    large, current, given_up = re.split(r"\n(?=\d)", printed)
    pages = [int(count) for count in re.findall(r"(\d+) pages", large)]
    assert pages[:2] == [0, 200]
    assert sum(pages) in (220, 221), "the run that was killed may have asked for a page that it did not record"
    assert "is killed" in large
    assert large.splitlines()[-2].endswith("delivered: 2,200 verified")
    assert "delivered: 110 found, 110 verified" in current
    assert "attention: 110 verified; 110 in flight" in given_up
