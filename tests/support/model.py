"""A state machine of all that may happen to a route: edits, tasks that go wrong, lost answers, kills, wrong clocks.

The promise: a file that was written arrives; nothing is sent twice for no reason; no path is in two tasks at a time;
what counts as delivered equals the destination; what differs is in flight, held back and counted, or reported; a tree
that is left alone is equal within a bounded number of runs (`model_oracle.RUNS_TO_EQUALITY`).

One room each: the edits to draw from (model_edits), the tree (model_tree), the route (model_route), what must hold
(model_oracle), and here the rules.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
from hypothesis import HealthCheck, Phase, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from model_crew import HELPERS
from model_edits import EDIT, EDITS, HOUR_SECONDS, NAME, NAMES, NS, SIZE, WHICH, Edit, Moment
from model_oracle import UNDISTURBED, Oracle
from model_route import Interruptions, Misled, Route
from suite import LONG_AGO

from autotransfer.common.paths import join
from emulator.transfer.odd_lists import COUNTED, COUNTS, ROWS

# What is tallied beside the steps.
ROUTES, RUNS, TASKS, MOST_RUNS = "routes", "runs", "tasks", "most runs until equal"
CREDITS, PROMISES, EXCUSED = "credits", "promises", "excused"
EXCLUDED = "*.tmp"
CHOICES: dict[str, list[Any]] = {
    "SETTLE_SECONDS": [0, 0, 0, 2],
    "SYNC_LEVEL": ["mtime", "mtime", "mtime", "checksum", "size", "exists"],
    "PRESERVE_TIMESTAMP": [True, True, False],
    "SKIP_SOURCE_ERRORS": [True, True, False],
    "EXCLUDE": [[], [EXCLUDED]],
    "SYMLINKS": ["ignore", "follow"],
    "MAX_ITEMS_PER_TASK": [1000, 3, 2],
    "MAX_TASKS_IN_FLIGHT": [20, 3, 2],
    "SCAN": ["full", "quick"],
    "FULL_SCAN_EVERY": ["1d", "30d"],
}
VALUES = st.fixed_dictionaries({name: st.sampled_from(each) for name, each in CHOICES.items()})
MAY_CHANGE = ("PRESERVE_TIMESTAMP", "SYNC_LEVEL", "EXCLUDE", "SYMLINKS", "SETTLE_SECONDS", "SCAN")
CHANGES = st.sampled_from(MAY_CHANGE).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(CHOICES[name])))
OUTCOMES = st.fixed_dictionaries(
    {
        "outcome": st.sampled_from(["fail", "skip", "cancel", "expire", "forget", "corrupt", "half", "stall"]),
        "times": st.integers(1, 2),
        "path": st.one_of(st.none(), st.sampled_from(NAMES).map(lambda name: f"*/{name}")),
        "after_files": st.one_of(st.none(), st.integers(0, 2)),
    }
)
INTERVENTIONS = st.sampled_from(
    [{"pause": True}, {"pause": False}, {"inactive": True}, {"cancel_by_admin": "SOURCE"}, {"forget": True}]
)
# What Globus may be wrong about, on two of three routes.
MISLED = st.builds(
    Misled,
    keeps_times=st.sampled_from([True, True, False]),
    verifies=st.sampled_from([True, True, False]),
    page_size=st.sampled_from([1000, 2]),
    pages_a_run=st.sampled_from([200, 1]),
)
ODDITIES = st.builds(
    lambda kind, name, count, times: {"kind": kind, "path": name and f"*/{name}", "count": count, "times": times},
    st.sampled_from([*ROWS, *COUNTS]),
    st.one_of(st.none(), st.sampled_from(NAMES)),
    st.sampled_from(COUNTED),
    st.sampled_from([1, 2, 4]),
)
PLANTING = st.fixed_dictionaries(EDITS["plant"])
EDITS_TOGETHER = st.lists(EDIT, min_size=1, max_size=4)
ANSWERS = st.builds(
    lambda route, times, what: {"route": route, "times": times, **what},
    st.sampled_from(["POST /v0.10/transfer", "GET /v0.10/*"]),
    st.sampled_from([1, 4, 5]),  # a call is tried four times
    st.sampled_from([{"reset": "after"}, {"reset": "before"}, {"status": 503}, {"status": 502, "text": "<p>"}]),
)
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe")
INTERRUPTIONS = st.builds(
    Interruptions,
    st.one_of(st.none(), st.integers(0, 12)),
    st.lists(st.tuples(st.integers(0, 12), EDIT), max_size=3).map(tuple),
)


def something_since(act: Any) -> Any:
    """A rule that only sets the stage: it is not drawn twice in a row."""
    return precondition(lambda self: self.last_step != act.__name__)(act)


def misleading(act: Any) -> Any:
    """A rule of the routes on which Globus may be wrong."""
    return precondition(lambda self: self.route.misled is not None)(something_since(act))


def a_misled_run(how: str) -> Any:
    """The rule of runs that send an ordinary modification, about which Globus is wrong in one way."""

    def act(
        self: Model,
        which: int,
        size: int | None,
        edits: list[Edit],
        oddity: dict[str, Any],
        skips: int,
        is_unsent: bool,
        seconds: int,
    ) -> None:
        with self.counted(act.__name__):
            self.oracle.run()
            self.oracle.run()
            self.route.pass_time(HOUR_SECONDS)
            files = self.route.tree.files()
            path = files[which % len(files)] if files else None
            # Newer than its last transfer, so that it is sent at the ordinary sync level.
            modified: list[Edit] = [("rewrite", {"which": which, "size": size, "moment": Moment("now", 0)})]
            if how == "older" and is_unsent:
                self.route.edit("append", {"which": which, "moment": Moment("now", 0)})
            self._mislead(how, path, oddity, seconds)
            if how == "odd" and skips:
                self._let_go_wrong({"outcome": "skip", "times": skips, "path": None})
            for edit in [*modified, *edits]:
                self.route.edit(*edit)
            for _ in range(3):
                self.route.pass_time(HOUR_SECONDS)
                self.oracle.run()

    act.__name__ = act.__qualname__ = f"misled_{how}"
    drawn: dict[str, Any] = {
        "which": WHICH,
        "size": st.one_of(st.none(), SIZE),
        "edits": st.lists(EDIT, max_size=2),
        "oddity": ODDITIES,
        "skips": st.sampled_from([0, 1, 4]),
        "is_unsent": st.booleans(),
        "seconds": st.sampled_from([-(10**6), -2, 2, 10**6]),
    }
    make: Any = rule(**drawn)
    return misleading(make(act))


def an_edit(kind: str) -> Any:
    """The rule of one edit of the tree, drawn while there is something it can be about."""

    def act(self: Model, **how: Any) -> None:
        with self.counted(kind):
            self.route.edit(kind, how)

    act.__name__ = act.__qualname__ = kind
    make: Any = rule(**EDITS[kind])  # type: ignore[call-overload]
    return precondition(lambda self: self.route.tree.has_something_to(kind))(make(act))


class Model(RuleBasedStateMachine):
    """One route; `tally` counts over all of them what was done, and MOST_RUNS until a tree left alone was equal."""

    tally: ClassVar[Counter[str]] = Counter()
    may_mislead: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._zone = os.environ.get("TZ")
        self._stack = ExitStack()
        self._route: Route | None = None
        self.last_step = ""

    @initialize(
        values=VALUES,
        are_modes_binding=st.booleans(),
        helper=st.sampled_from(HELPERS),
        misled=st.one_of(MISLED, MISLED, st.none()),
        first=st.lists(PLANTING, max_size=4),
    )
    def configure(
        self,
        values: dict[str, Any],
        are_modes_binding: bool,
        helper: str,
        misled: Misled | None,
        first: list[dict[str, Any]],
    ) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="model-")))
        self._route = Route(
            folder,
            values,
            are_modes_binding=are_modes_binding,
            helper=helper,
            misled=misled if self.may_mislead else None,
        )
        self._stack.callback(self._route.close)
        self.oracle = Oracle(self._route)
        for how in first:
            self._route.edit("plant", how)
        self.tally[ROUTES] += 1

    @property
    def route(self) -> Route:
        assert self._route is not None
        return self._route

    create, plant, mkdir, rmdir = map(an_edit, ("create", "plant", "mkdir", "rmdir"))
    append, rewrite, touch, chmod = map(an_edit, ("append", "rewrite", "touch", "chmod"))
    put_back, rename_over = map(an_edit, ("put_back", "rename_over"))
    rewrite_in_the_same_second = an_edit("rewrite_in_the_same_second")
    replace_by_older, change_kind = an_edit("replace_by_older"), an_edit("change_kind")
    rename, delete, symlink, hard_link = map(an_edit, ("rename", "delete", "symlink", "hard_link"))

    @rule()
    def run(self) -> None:
        with self.counted("run"):
            self.oracle.run()

    @rule(count=st.integers(2, 4), hours=st.sampled_from([0, 0.1, 1, 25]))
    def run_again_and_again(self, count: int, hours: float) -> None:
        with self.counted("run_again_and_again"):
            for _ in range(count):
                self.route.pass_time(hours * HOUR_SECONDS)
                self.oracle.run()

    @rule(interruptions=INTERRUPTIONS)
    def run_interrupted(self, interruptions: Interruptions) -> None:
        with self.counted("run_interrupted"):
            self.oracle.run(interruptions)

    @rule(edits=EDITS_TOGETHER)
    def edit_and_run(self, edits: list[Edit]) -> None:
        self._edit_and_run("edit_and_run", edits)

    @rule(edits=EDITS_TOGETHER, what=OUTCOMES)
    def edit_and_run_into_trouble(self, edits: list[Edit], what: dict[str, Any]) -> None:
        self._let_go_wrong(what)
        self._edit_and_run("edit_and_run_into_trouble", edits)

    @rule(edits=EDITS_TOGETHER, what=ANSWERS)
    def edit_and_run_unanswered(self, edits: list[Edit], what: dict[str, Any]) -> None:
        self._lose_answers(what)
        self._edit_and_run("edit_and_run_unanswered", edits)

    @rule(edits=EDITS_TOGETHER, interruptions=INTERRUPTIONS)
    def edit_and_run_interrupted(self, edits: list[Edit], interruptions: Interruptions) -> None:
        self._edit_and_run("edit_and_run_interrupted", edits, interruptions)

    @rule(seconds=st.sampled_from([0, 60, 4000]))
    def run_and_wait(self, seconds: float) -> None:
        with self.counted("run_and_wait"):
            self.oracle.run(wait_seconds=seconds)

    @something_since
    @rule()
    def dry_run(self) -> None:
        with self.counted("dry_run"):
            self.route.dry_run()

    @something_since
    @rule(which=WHICH, moment=st.sampled_from(["never", "now", "long ago"]), is_all=st.booleans())
    def set_time(self, which: int, moment: str, is_all: bool) -> None:
        with self.counted("set_time"):
            now_ns = self.route.our_ns()
            moment_ns = {"never": None, "now": now_ns, "long ago": min((LONG_AGO + 2) * NS, now_ns)}[moment]
            everything = self.route.tree.everything()
            scope = "" if is_all or not everything else everything[which % len(everything)]
            self.route.set_time(scope, moment_ns, is_now=moment == "now")

    @something_since
    @rule(what=OUTCOMES)
    def let_a_task_go_wrong(self, what: dict[str, Any]) -> None:
        with self.counted("let_a_task_go_wrong"):
            self._let_go_wrong(what)

    @precondition(lambda self: any(task.is_open for task in self.route.world.tasks.values()))
    @rule(which=WHICH, what=INTERVENTIONS)
    def meddle_with_a_task(self, which: int, what: dict[str, Any]) -> None:
        with self.counted("meddle_with_a_task"):
            tasks = [task for task in self.route.world.tasks.values() if task.is_open]
            task = tasks[which % len(tasks)]
            self.tally[f"tasks to {next(iter(what))}"] += 1
            self.route.tell(f"task {task.label}: {what}")
            self.route.world.change_task(task.task_id, **what)

    @something_since
    @rule(what=ANSWERS)
    def lose_answers(self, what: dict[str, Any]) -> None:
        with self.counted("lose_answers"):
            self._lose_answers(what)

    @something_since
    @rule(mode=st.sampled_from(["immediate", "polls:1", "polls:2", "polls:4", "seconds:3000"]))
    def set_pace(self, mode: str) -> None:
        with self.counted("set_pace"):
            self.route.tell(f"pace {mode}")
            self.route.world.set_progress(mode)

    @something_since
    @rule(hours=st.sampled_from([0.1, 1, 10, 30, 100, 900, -1, -30]))
    def move_all_clocks(self, hours: float) -> None:
        with self.counted("move_all_clocks"):
            self.route.tell(f"{hours} hours pass")
            self.route.pass_time(hours * HOUR_SECONDS)

    @something_since
    @rule(hours=st.sampled_from([0, 0.001, 1, -1, 20, -20, 500, -500, 9000, -9000]))
    def set_our_clock_wrong(self, hours: float) -> None:
        with self.counted("set_our_clock_wrong"):
            self.route.tell(f"our clock is {hours} hours off")
            self.route.skew_ns = int(hours * HOUR_SECONDS * NS)

    @something_since
    @rule(zone=st.sampled_from(ZONES), hours=st.sampled_from([0, 1, 5000]))
    def change_the_zone(self, zone: str, hours: float) -> None:
        with self.counted("change_the_zone"):
            self.route.tell(f"the zone is {zone}, {hours} hours later")
            os.environ["TZ"] = zone
            time.tzset()
            self.route.pass_time(hours * HOUR_SECONDS)

    @something_since
    @rule(change=CHANGES)
    def change_a_setting(self, change: tuple[str, Any]) -> None:
        name, value = change
        with self.counted("change_a_setting"):
            self.route.tell(f"{name} = {value}")
            self.route.values[name] = value

    @misleading
    @rule(which=WHICH, edits=EDITS_TOGETHER)
    def keep_seeing(self, which: int, edits: list[Edit]) -> None:
        with self.counted("keep_seeing"):
            files = self.route.tree.files()
            if files:
                self.route.keep_seeing(files[which % len(files)])
            for edit in edits:
                self.route.edit(*edit)

    @misleading
    @rule(where=WHICH, name=NAME, size=SIZE)
    def create_unseen(self, where: int, name: str, size: int) -> None:
        with self.counted("create_unseen"):
            folders = self.route.tree.folders()
            self.route.keep_seeing(join(folders[where % len(folders)], name))
            self.route.edit("create", {"where": where, "name": name, "size": size, "moment": Moment("long ago", 1)})

    @misleading
    @rule()
    def see_all(self) -> None:
        with self.counted("see_all"):
            self.route.tell("the node sees all as it is")
            self.route.world.see_all()

    misled_by_an_older_view, misled_by_times = a_misled_run("older"), a_misled_run("dated")
    misled_by_what_is_current, misled_by_an_odd_list = a_misled_run("current"), a_misled_run("odd")

    def _mislead(self, how: str, path: str | None, what: dict[str, Any], seconds: int) -> None:
        """Let Globus be wrong in one way about a file of the tree."""
        if how == "older" and path is not None:
            self.route.keep_seeing(path)
        elif how == "dated" and path is not None and (self.route.dst / path).is_file():
            self.route.date_a_copy(path, seconds)
        elif how == "current":
            self.tally["tasks to current"] += 1
            self.route.let_a_task_go_wrong({"outcome": "current", "times": 2, "path": None})
        elif how == "odd":
            self.tally[f"lists to be {what['kind']}"] += 1
            self.route.let_a_list_be_odd(what)

    def _edit_and_run(self, step: str, edits: list[Edit], interruptions: Interruptions = UNDISTURBED) -> None:
        with self.counted(step):
            for edit in edits:
                self.route.edit(*edit)
            self.oracle.run(interruptions)

    def _let_go_wrong(self, what: dict[str, Any]) -> None:
        self.tally[f"tasks to {what['outcome']}"] += 1
        self.route.let_a_task_go_wrong(what)

    def _lose_answers(self, what: dict[str, Any]) -> None:
        self.tally["answers to lose"] += what["times"]
        self.route.tell(f"answers get lost: {what}")
        self.route.world.add_fault(**what)

    def teardown(self) -> None:
        try:
            if self._route is not None and sys.exc_info()[0] is None:
                with self.counted("come_to_rest"):
                    self.oracle.come_to_rest()
                self.tally[CREDITS] += self.route.witness.credits
                self.tally[PROMISES] += self.route.witness.promises
                self.tally[EXCUSED] += self.route.witness.excused
                self.tally[MOST_RUNS] = max(self.tally[MOST_RUNS], self.oracle.most_runs)
        finally:
            if self._route is not None:
                self.tally[RUNS] += self._route.runs
                self.tally[TASKS] += self._route.tasks_seen
            self._stack.close()
            if self._zone is None:
                os.environ.pop("TZ", None)
            else:
                os.environ["TZ"] = self._zone
            time.tzset()

    @contextmanager
    def counted(self, step: str) -> Iterator[None]:
        """Count a step; when it fails, its failure tells the story of the route."""
        self.tally[step] += 1
        self.last_step = step
        try:
            yield
            self.route.witness.check()
        except Exception:
            note("\n".join(["", "What happened:", *self.route.story]))
            raise


def play(
    *, examples: int, steps: int, seed: int, blob: str = "", may_mislead: bool = False, shrinks: bool = True
) -> None:
    """Play examples, each of at most `steps` steps; raises what failed, shrunk, with its steps in its notes.

    Args:
        seed: Where all chance comes from.
        blob: What an earlier failure printed: only that example is played again.
        may_mislead: Whether Globus may be wrong on some of the routes.
        shrinks: Whether a failure is made as small as it can be, which takes minutes.
    """
    machine = type("Model", (Model,), {"tally": Model.tally, "may_mislead": may_mislead})
    again = hypothesis.reproduce_failure(hypothesis.__version__, blob.encode()) if blob else hypothesis.seed(seed)
    run_state_machine_as_test(
        again(machine),
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate, *([Phase.shrink] if shrinks else ())),
        ),
    )
