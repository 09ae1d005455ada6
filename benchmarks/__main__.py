"""`python -m benchmarks`: makes the trees, measures, writes the page and its charts."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import caches, dask_cluster, machine, native, ours, peers, trees
from benchmarks.goals import FULL_EFFORT
from benchmarks.page import page
from benchmarks.results import Effort, Results
from benchmarks.running import Command, Figures, Unfit, measure

STANDARD = FULL_EFFORT._replace(huge_files=0)
SMALL = Effort(files=1_000, changes=10, huge_files=10_000, small_sizes=(200, 400), slow_files=200, runs=1, few_runs=1)


class Bench:
    """One benchmark.

    Args:
        folder: Where the trees are made; all in it goes at the end.
    """

    def __init__(self, effort: Effort, folder: Path) -> None:
        self._effort = effort
        self._folder = folder
        self._started = time.monotonic()
        self._sources: dict[int, Path] = {}
        self._routes: dict[int, ours.Route] = {}

    def results(self) -> Results:
        """Measure everything.

        Raises:
            Unfit: One of our own commands did not do its work.
            NoRoom: A tree does not fit.
        """
        effort = self._effort
        here = machine.machine(self._folder)
        missing = peers.missing(self._folder)
        sizes = {files: self._small(files) for files in effort.small_sizes}
        slow, slow_large = self._slow(missing)
        sizes[effort.files] = self._main(missing)
        datastore_bytes = self._routes[effort.files].datastore_bytes
        huge = self._huge() if effort.huge_files else {}
        return Results(effort, here, peers.versions(), sizes, huge, slow, datastore_bytes, missing, slow_large)

    def _small(self, files: int) -> dict[str, Figures]:
        commands = self._tree(files)
        self._say(f"{files:,} files: {2 * self._effort.runs} rounds")
        commands += peers.scanners(self._sources[files], names=(peers.FIND,))
        return measure(self._warm(files, commands), runs=2 * self._effort.runs, folder=self._folder).figures

    def _slow(self, missing: dict[str, str]) -> tuple[dict[str, Figures], dict[str, Figures]]:
        """On the slow file system: everything on slow_files, and what shows when Dask pays on a larger tree."""
        library = native.slowness(self._folder)
        if library is None:
            missing["the slow file system"] = "that needs Linux and a C compiler"
            return {}, {}
        files = self._effort.slow_files
        slow = self._slowed(library, files, peers.scanners(self._sources[files]), missing)
        return slow, self._slowed(library, max(self._effort.small_sizes), [], missing)

    def _slowed(
        self, library: Path, files: int, others: Sequence[Command], missing: dict[str, str]
    ) -> dict[str, Figures]:
        runs, route, src = self._effort.few_runs, self._routes[files], self._sources[files]
        self._say(f"{files:,} files on a slow file system: {runs} rounds")
        check = ours.says(scan="full", files=files, new=0, modified=0, notices=[])
        commands = [Command(ours.FULL, route.words("main.py", "--json"), check, ours.LOCAL), *others]
        with ExitStack() as stack:
            if importlib.util.find_spec("distributed") is None:
                missing[ours.DASK] = "the extra [dask] is not installed"
            else:
                variables = native.slow_variables(library, src)
                address = stack.enter_context(dask_cluster.cluster(self._folder, variables))
                commands.append(Command(ours.DASK, route.words_with_dask(address), check, ours.LOCAL, is_needed=False))
            around = functools.partial(native.slowed, library, src, calls=files)
            slowed = [command._replace(around=around) for command in commands]
            measured = measure(slowed, runs=runs, folder=self._folder)
        missing.update({f"{title} on the slow file system": why for title, why in measured.left_out.items()})
        return measured.figures

    def _main(self, missing: dict[str, str]) -> dict[str, Figures]:
        files, runs = self._effort.files, self._effort.runs
        commands = self._tree(files, changes=self._effort.changes)
        src = self._sources[files]
        commands += [*peers.scanners(src), *peers.floors(src, files, self._folder)]
        commands += peers.copiers(src, files, self._folder, say=self._say)
        self._say(f"{files:,} files: {runs} rounds of {len(commands)} commands")
        measured = measure(self._warm(files, commands), runs=runs, folder=self._folder)
        missing.update(measured.left_out)
        return measured.figures

    def _huge(self) -> dict[int, dict[str, Figures]]:
        """The huge tree and the main one in the same rounds."""
        effort = self._effort
        commands = self._tree(effort.huge_files) + peers.scanners(self._sources[effort.huge_files], names=(peers.FIND,))
        words = self._routes[effort.files].words("main.py", "--json")
        beside = Command("beside", words, ours.says(scan="full", files=effort.files, new=0, modified=0), ours.LOCAL)
        self._say(f"{effort.huge_files:,} files: {effort.few_runs} rounds")
        commands = [*self._warm(effort.huge_files, commands), *self._warm(effort.files, [beside])]
        figures = measure(commands, runs=effort.few_runs, folder=self._folder).figures
        return {effort.files: {ours.FULL: figures.pop("beside")}, effort.huge_files: figures}

    def _warm(self, files: int, commands: Sequence[Command]) -> list[Command]:
        """The commands, each with its tree and datastore in the caches when it is timed."""
        fill = functools.partial(caches.fill, native.floor(self._folder), self._place(files))
        return [command._replace(before=fill) for command in commands]

    def _place(self, files: int) -> Path:
        return self._folder / f"tree-{files}"

    def _tree(self, files: int, *, changes: int = 0) -> list[Command]:
        """Make a tree and what our own commands need; gives those."""
        self._say(f"making a tree of {files:,} files")
        place = self._place(files)
        src = self._sources[files] = place / "src"
        trees.make(src, files)
        time.sleep(max(0.0, 2.1 - (time.time() - src.stat().st_ctime)))  # a quick scan distrusts folders this young
        self._say(f"recording {files:,} files")
        commands, self._routes[files] = ours.commands(place, src, files, changes=changes)
        return commands

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:7.1f} s  {text}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Measure and write; gives the exit status."""
    chosen = _parsed(arguments)
    effort = SMALL if chosen.small else FULL_EFFORT if chosen.huge else STANDARD
    if chosen.runs:
        effort = effort._replace(runs=chosen.runs)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=chosen.folder) as name:
            results = Bench(effort, Path(name)).results()
            print("removing the trees", flush=True)
    except (Unfit, trees.NoRoom) as problem:
        print(f"benchmarks: {problem}. No page was written.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: stopped. No page was written.", file=sys.stderr)
        return 130
    charts: dict[str, str] = {}
    if chosen.docs is not None:
        chosen.docs.mkdir(parents=True, exist_ok=True)
        try:
            from benchmarks.charts import draw

            charts = draw(results, chosen.docs)
        except ImportError as error:
            print(f"benchmarks: no charts: {error} (extra [bench])", file=sys.stderr)
    text = page(results, charts)
    if chosen.docs is None:
        print(f"\n{text}", end="")
    else:
        (chosen.docs / "benchmarks.md").write_text(text, encoding="utf-8")
        print(f"wrote {chosen.docs / 'benchmarks.md'}")
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this tool and others on the same trees; write docs/benchmarks.md.",
        allow_abbrev=False,
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--small", action="store_true", help="a try on small trees, in seconds; the page is printed")
    size.add_argument(
        "--huge",
        action="store_true",
        help=f"a tree of {FULL_EFFORT.huge_files:,} files too: half an hour, 20 GB of memory",
    )
    parser.add_argument("--runs", type=int, help=f"how many rounds (default: {STANDARD.runs})")
    parser.add_argument("--folder", type=Path, help="where to make the trees (default: where temporary files go)")
    parser.add_argument("--docs", type=Path, help="where the page goes (default: docs/, and nowhere with --small)")
    chosen = parser.parse_args(arguments)
    if chosen.runs is not None and chosen.runs < 1:
        parser.error("--runs takes a number from 1 on")
    if chosen.docs is None and not chosen.small:
        chosen.docs = ours.ROOT / "docs"
    return chosen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
