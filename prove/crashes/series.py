"""One series: a route, a tree that changes, scripts that are killed; then peace, and what must hold."""

from __future__ import annotations

import random
import signal
import sqlite3
import stat
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from suite import DST_ID, SRC_ID, Route

from emulator.http.server import Emulator
from emulator.world import Collection
from prove.crashes.points import AFTER_TROUBLE, FIRST, KINDS, WHEN_SENDING
from prove.crashes.tree import Tree
from prove.crashes.watch import Watch, differences, newer_python, overlaps, processes_of, read_as_shelf
from prove.native import DIVISIBLE, Call, Point, calls, environment

KNOWN_FILES = {"datastore", "lock", "log", "log.1", "alerts.json"}
WELL = (0, 3)
SETTLING_RUNS = 14
RUN_SECONDS = 180
LEAST_LOG_BYTES = 10_000


class Ended(NamedTuple):
    """How a script ended: its status, and the calls it made if they were noted."""

    status: int
    calls: list[Call]
    output: str

    @property
    def is_killed(self) -> bool:
        return self.status == -signal.SIGKILL


class SeriesFailure(Exception):
    """Something did not hold; says what, in which series, after which steps."""


class Series:
    """One series. Use it in a `with` block.

    Args:
        seed: Where all its chance comes from.
        folder: An empty folder of its own.
        library: See `native.build`.

    Attributes:
        killed: How often it was killed at which kind of call, or "at a random moment".
        runs: How many scripts were started.
        story: What happened, a line each.
    """

    def __init__(self, seed: int, folder: Path, library: Path) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        folder.mkdir(parents=True)
        ends = [Collection(id=SRC_ID, root=Path("/")), Collection(id=DST_ID, root=Path("/"))]
        self.globus = Emulator(ends)
        self.route = Route(folder, self.globus)
        self.tree = Tree(self.chance, self.route.src)
        self._library = library
        self._log = folder / "calls"
        self._run_seconds = 0.3
        self.killed: Counter[str] = Counter()
        self.missed = self.runs = 0
        self.story: list[str] = []
        server = self.globus._server
        self.watch = Watch(server.app, self.globus.world, self.tree)
        server.app = self.watch
        self.settings = {
            "MAX_ITEMS_PER_TASK": self.chance.choice([1, 2, 3, 1000]),
            "MAX_TASKS_IN_FLIGHT": self.chance.choice([2, 4, 20]),
            "LOG_MAX_BYTES": LEAST_LOG_BYTES,
        }
        self.route.configure(**self.settings)

    def __enter__(self) -> Series:
        self.globus.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.globus.stop()

    # --- what happens -----------------------------------------------------------------------------------------------

    def play(self, kills: int) -> None:
        """Go on until there were this number of kills; then leave it in peace, and check.

        Raises:
            SeriesFailure: Something did not hold; the message has the seed, the kills and the last steps.
        """
        try:
            wanted = sum(self.killed.values()) + kills
            self.run_killed(["main.py"], self.some_point(self.chance.choice(FIRST)))
            most_runs = self.runs + 8 * kills
            while sum(self.killed.values()) < wanted:
                assert self.runs < most_runs, f"{self.runs} runs, and only {sum(self.killed.values())} were killed"
                self.step()
            self.settle()
            self.judge()
            self.set_now()
        except AssertionError as error:
            raise SeriesFailure(self.story_of(str(error))) from None

    def step(self) -> None:
        """Change something, then run something that is probably killed."""
        self.change()
        how = self.chance.random()
        if how < 0.3:
            self.run_killed(self.some_words(), None)
        elif how < 0.95:
            point = self.some_point()
            self.make_reachable(point.kind)
            self.run_killed(self.some_words(), point)
        else:
            self.run(self.some_words())

    def make_reachable(self, kind: str) -> None:
        """See to it that the next run will probably make such a call."""
        if kind == "rename log":
            self.story.append("the log has grown")
            with (self.route.code_path / "log").open("ab") as file:
                file.write(b"as if from many runs before\n" * (LEAST_LOG_BYTES // 25))
        elif kind in AFTER_TROUBLE:
            if not any(rule.times for rule in self.globus.world.outcomes):
                self.bring_trouble()
            self.run(["main.py"])
        elif kind in WHEN_SENDING:
            self.story.append(self.tree.edit())

    def change(self) -> None:
        """Edit the tree, and sometimes Globus's ways."""
        for _ in range(self.chance.choice([0, 1, 1, 2, 4])):
            self.story.append(self.tree.edit())
        world = self.globus.world
        if self.chance.random() < 0.2:
            progress = self.chance.choice(["immediate", "polls:1", "polls:2", "polls:3"])
            self.story.append(f"tasks progress {progress}")
            world.set_progress(progress)
        if self.chance.random() < 0.2 and not any(rule.times for rule in world.outcomes):
            self.bring_trouble()

    def bring_trouble(self) -> None:
        """Let a task fail, or skip a file.

        The file is new and no other trouble is to come, because what fails twice rests for minutes.
        """
        before = set(self.tree.files())
        for _ in range(20):
            self.story.append(self.tree.edit())
            new = sorted(set(self.tree.files()) - before)
            if new:
                outcome = self.chance.choice(["fail", "half", "cancel", "skip", "skip"])
                self.story.append(f"{outcome} the task with {new[0]}")
                self.globus.world.add_outcome(outcome, path=str(self.route.src / new[0]), times=1)
                return

    def some_words(self) -> list[str]:
        """A command; nearly always what cron runs."""
        if self.chance.random() < 0.85:
            return ["main.py", *self.chance.choice([[], [], [], [], ["--wait", "3"], ["--dry-run"]])]
        moment = self.chance.choice(["never", "never", "2001-01-01"])
        if self.chance.random() < 0.3:
            return ["set_time.py", moment]
        return ["set_time.py", moment, f"--path={self.chance.choice(self.tree.files())}"]

    def some_point(self, kind: str | None = None) -> Point:
        """A call to die at; now and then in its middle."""
        chosen = kind or self.chance.choice([each for each in KINDS if each not in FIRST])
        # Small numbers are more often reached.
        nth = min(self.chance.randint(1, KINDS[chosen]), self.chance.randint(1, KINDS[chosen]))
        is_divisible = chosen.split()[0] in DIVISIBLE
        return Point(self.chance.choice(["before", "after", *["partly"] * is_divisible]), chosen, nth)

    # --- scripts ----------------------------------------------------------------------------------------------------

    def run_killed(self, words: Sequence[str], point: Point | None) -> Ended:
        """Run a script that is killed at a point, or at a random moment; it may get away."""
        seconds = None if point else self.chance.uniform(0.1, 1.1) * self._run_seconds
        ended = self._run(words, point, seconds)
        if ended.is_killed:
            self.killed[point.kind if point else "at a random moment"] += 1
        else:
            self.missed += 1
        return ended

    def run(self, words: Sequence[str]) -> Ended:
        """Run a script to its end."""
        started = time.monotonic()
        ended = self._run(words, None, None)
        if words[0] == "main.py":
            self._run_seconds = min(2.0, time.monotonic() - started)
        return ended

    def _run(self, words: Sequence[str], point: Point | None, seconds: float | None) -> Ended:
        self.runs += 1
        if words[0] == "set_time.py":
            self.tree.touch_all()
        self._log.unlink(missing_ok=True)
        self.route.environment = {
            **self.globus.environment(),
            **environment(
                self._library, code_path=self.route.code_path, src=self.route.src, log=self._log, point=point
            ),
        }
        process = self.route.start(*words)
        try:
            output = "".join(process.communicate(timeout=RUN_SECONDS if seconds is None else seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            output = "".join(process.communicate(timeout=RUN_SECONDS))
            assert seconds is not None, f"{' '.join(words)} did not end: {output}"
        while self.watch.is_busy:  # what the dead asked for last is still done
            time.sleep(0.001)
        ended = Ended(process.returncode, list(calls(self._log)), output)
        aim = f"killed {point or f'after {seconds:.3f} s'}" if ended.is_killed else f"ended with {ended.status}"
        self.story.append(f"{' '.join(words)}: {aim}")
        assert ended.is_killed or ended.status in WELL, f"{' '.join(words)} ended with {ended.status}: {output}"
        assert "Traceback" not in output, output
        self.after_run(ended)
        return ended

    def after_run(self, ended: Ended) -> None:
        """Called after each script; for those who cut the power then."""

    # --- peace ------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let ordinary runs go on until there is nothing left to do."""
        self.globus.world.set_progress("immediate")
        a_run = self.settings["MAX_ITEMS_PER_TASK"] * self.settings["MAX_TASKS_IN_FLIGHT"]
        most_runs = SETTLING_RUNS + 2 * len(self.tree.files()) // a_run
        for _ in range(most_runs):
            self.run(["main.py", "--json"])
            summary = self.route.summary("--dry-run", "--json", status=None)
            busy = ("new", "modified", "older", "retried", "unsettled", "waiting", "backing_off", "in_flight_tasks")
            if not any(summary[each] for each in busy):
                return
        raise AssertionError(f"after {most_runs} runs left in peace there is still something to do: {summary}")

    def judge(self) -> None:
        """Check everything that must hold now."""
        missing = differences(self.route.src, self.route.dst)
        assert not missing, f"not delivered: {missing}"
        assert not self.watch.failures, "; ".join(self.watch.failures)
        world = self.globus.world
        assert not world.conflicts, f"two tasks carried a path at one time: {world.conflicts}"
        both = list(overlaps(world.tasks.values()))
        assert not both, both
        posted = self.watch.submissions
        # A folder that looks like copies of our own has a test folder made and deleted.
        transfers = [task for task in world.tasks.values() if task.submission.document["DATA_TYPE"] == "transfer"]
        assert len(transfers) == posted, f"{len(transfers)} transfer tasks came of {posted} submissions"
        assert world.tasks, "nothing was ever sent"
        self.judge_files()
        orphans = processes_of(self.route.config)
        assert not orphans, f"processes are left behind: {orphans}"

    def set_now(self) -> None:
        """Now that all is there, "set_time.py now" may be killed anywhere: nothing is sent after it."""
        self.run_killed(["set_time.py", "now"], self.some_point() if self.chance.random() < 0.7 else None)
        posted = self.watch.submissions
        self.run(["main.py"])
        assert self.watch.submissions == posted, "sent again what set_time.py counted as transferred"
        self.judge_files()

    def judge_files(self) -> None:
        """CODE_PATH holds what it should, whole and private."""
        found = {path.name: path for path in self.route.code_path.iterdir()}
        assert set(found) <= KNOWN_FILES, f"stray files: {sorted(set(found) - KNOWN_FILES)}"
        for name, path in found.items():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, f"{name} is not private"
        with closing(sqlite3.connect(found["datastore"])) as datastore:
            verdict = datastore.execute("PRAGMA integrity_check").fetchall()
        assert verdict == [("ok",)], f"the datastore is damaged: {verdict}"
        if python := newer_python():
            read = read_as_shelf(python, found["datastore"], self.route.folder / "shelf")
            assert "LEDGER" in read, f"a plain shelve.open does not read the datastore: {read}"

    def story_of(self, what: str) -> str:
        """A failure with what is needed to see it again."""
        last = " | ".join(self.story[-25:])
        return f"series seed {self.seed}, settings {self.settings}: {what}. Last steps: {last}"
