"""The route of the model: a tree, an emulator, a datastore, and what runs on them; time stands still between acts."""

from __future__ import annotations

import importlib
import os
import time
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from model_crew import ALONE, helpers
from model_edits import NS
from model_rights import modes_that_bind, modes_that_do_not
from model_tree import Tree
from model_witness import Witness
from suite import CLIENT_ID, DST_ID, SRC_ID

from autotransfer.common.errors import GlobusProblem, UsageProblem
from autotransfer.common.paths import FOLDER_ITSELF, join
from autotransfer.common.settings import Settings, check_settings
from autotransfer.common.summary import Summary
from autotransfer.datastore.record import Fingerprint, Folder
from autotransfer.datastore.store import Store
from autotransfer.plan.set_times import set_times
from autotransfer.run import Run, Watcher
from autotransfer.scan.folders import open_root
from autotransfer.transfer import ended
from emulator.clock import Clock
from emulator.http.server import Emulator
from emulator.transfer.odd_lists import OddList
from emulator.world import Collection, OutcomeRule, Task

# 2031-03-30 00:30 UTC, half an hour before summer time begins in Europe; far from the machine's own time, so that what
# was dated by that is recognized.
FIRST_SECOND = 1_932_597_000
TICK_NS = 1000


class Misled(NamedTuple):
    """What Globus may be wrong about on a route, for as long as it lasts.

    Args:
        keeps_times: Whether copies get the times of their sources.
        verifies: Whether the destination lets transfers verify checksums.
        page_size: Rows a page of a list.
        pages_a_run: How many of them a run reads.
    """

    keeps_times: bool = True
    verifies: bool = True
    page_size: int = 1000
    pages_a_run: int = 200


class Killed(BaseException):
    """The process dies here; what was not committed is gone."""


class StillClock(Clock):
    """Globus's clock and the file servers': it moves when told, and a little at every look of ours."""

    def __init__(self) -> None:
        self.now_ns = FIRST_SECOND * NS
        super().__init__()

    def now_seconds(self) -> float:
        return self.now_ns / NS

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS)

    def set(self, moment: datetime) -> None:
        self.now_ns = int(moment.timestamp() * NS)

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        kept = self.now_ns
        self.set(moment)
        try:
            yield
        finally:
            self.now_ns = kept


class Interruptions(NamedTuple):
    """What happens in the middle of a run.

    Args:
        kill_at: The how-manieth moment around a commit is the last one of this process; None lets it live.
        edits: Edits of the tree, each at the so-manieth moment at which the run can be watched.
    """

    kill_at: int | None = None
    edits: tuple[tuple[int, tuple[str, dict[str, Any]]], ...] = ()


class Deadly(Store):
    """A datastore that lets the model act around each commit point."""

    def __init__(self, path: str, around: Callable[[str], None], on_commit: Callable[[], None]) -> None:
        super().__init__(path)
        self._around = around
        self._on_commit = on_commit

    def commit(self) -> None:
        self._around("before a commit")
        super().commit()
        self._on_commit()
        self._around("after a commit")


class Watching(Watcher):
    """Lets the model act while the tree is scanned."""

    def __init__(self, act: Callable[[str], None]) -> None:
        self._act = act

    def change(self, rel_path: str, why: str, size_bytes: int) -> None:
        self._act(f"while {rel_path} is found {why}")


class Route:
    """One route in an empty folder, with all that can be done to it and asked of it.

    Attributes:
        values: The configuration; change it at will.
        story: What happened, for people.
        assumed: Paths that set_time.py declared delivered, with the fingerprints it saw.
        helper: Who helps with the scan (model_crew).
        are_modes_binding: Whether our scan may read only what modes allow; the emulator always obeys them.
        misled: What Globus may be wrong about, which the tool must see through; None: it is never wrong.
        witness: Holds what is called proved against the true bytes.
    """

    def __init__(
        self,
        folder: Path,
        values: dict[str, Any],
        *,
        are_modes_binding: bool = False,
        helper: str = ALONE,
        misled: Misled | None = None,
    ) -> None:
        self.clock = StillClock()
        self.skew_ns = 0
        self.src, self.dst, self.state = folder / "src", folder / "dst", folder / "state"
        for each in (self.src, self.state):
            each.mkdir()
        secret = folder / "secret"
        secret.write_text("a secret")
        secret.chmod(0o600)
        self.tree = Tree(self.src, self.tick_ns)
        self.are_modes_binding = are_modes_binding
        self.helper = helper
        self.values: dict[str, Any] = {
            "SRC_DIR": str(self.src),
            "DST_DIR": str(self.dst),
            "SRC_ID": SRC_ID,
            "DST_ID": DST_ID,
            "CLIENT_ID": CLIENT_ID,
            "CODE_PATH": str(self.state),
            "CLIENT_SECRET_FILE": str(secret),
            **values,
        }
        self.story = [f"settings {values}, modes bind us: {are_modes_binding}, the scan is helped by: {helper}"]
        self.assumed: dict[str, Fingerprint] = {}
        self.runs = self.tasks_seen = 0
        self._machine_ns = time.time_ns() - 2 * NS
        self._stack = ExitStack()
        self.misled = misled
        wrong = misled or Misled()
        self.tree.may_put_times_back = misled is not None
        if misled:
            self.story.append(f"{misled}")
        at_src = Collection(id=SRC_ID, root=Path("/"))
        at_dst = Collection(id=DST_ID, root=Path("/"), keeps_times=wrong.keeps_times, disable_verify=not wrong.verifies)
        globus = self._stack.enter_context(Emulator([at_src, at_dst], clock=self.clock))
        self._stack.enter_context(_aimed_at(globus))
        self.world = globus.world
        self.world.page_size = wrong.page_size
        self.pages_a_run = wrong.pages_a_run
        self._odd_lists: list[OddList] = []
        self._outcomes: list[OutcomeRule] = []
        self._dated: set[str] = set()
        self.witness = Witness(self)

    def close(self) -> None:
        """Stop the emulator."""
        self._stack.close()

    def tell(self, text: str) -> None:
        """Add to the story."""
        self.story.append(text)

    # --- time -------------------------------------------------------------------------------------------------------

    def tick_ns(self) -> int:
        """What the file servers' clock says."""
        self.clock.now_ns += TICK_NS
        return self.clock.now_ns

    def our_ns(self) -> int:
        """What our own clock says, right or wrong."""
        return self.tick_ns() + self.skew_ns

    def pass_time(self, seconds: float) -> None:
        """Let time pass everywhere."""
        self.world.advance_clock(seconds)

    # --- acts -------------------------------------------------------------------------------------------------------

    def edit(self, kind: str, how: dict[str, Any]) -> None:
        """Edit the tree."""
        done = self.tree.edit(kind, how)
        self.witness.see_source()
        if done:
            self.tell(f"  {done}")

    def run(self, interruptions: Interruptions, *, wait_seconds: float | None = None) -> Summary | None:
        """One run of main.py's engine in a process of its own; None when it was killed or Globus was in the way."""
        self.runs += 1
        self.tell(f"run {self.runs}")
        act = _Interrupting(self, interruptions)
        before = set(self.world.tasks)
        summary: Summary | None = None
        store = Deadly(self.datastore, act, self.witness.see_commit)
        with self._reading_pages(), self.as_user(), store, self._helped() as chosen:
            run = Run(self.settings, store, Watching(act), clock_ns=self.our_ns, pause=self.pass_time, **chosen)
            try:
                summary = run.perform(wait_seconds=wait_seconds)
            except Killed:
                pass
            except GlobusProblem as problem:
                self.tell(f"  {type(problem).__name__}: {problem}")
        self._date_arrivals()
        for task_id, task in self.world.tasks.items():
            if task_id not in before:
                self.tasks_seen += 1
                self.tell(f"  sent {task.label} level {task.submission.sync_level} {self.items_of(task)} {task.status}")
        if summary is not None:
            self.tell("  " + " ".join(f"{name}={count}" for name, count in summary.counts().items() if count))
        return summary

    def dry_run(self) -> None:
        """A run that may change nothing, here or at Globus."""
        if not os.path.exists(self.datastore):
            return
        before, sent = self.records(), set(self.world.tasks)
        self.tell("dry run")
        with self.as_user(), Store(self.datastore) as store:
            try:
                Run(self.settings, store, Watcher(), is_dry=True, clock_ns=self.our_ns).perform()
            except GlobusProblem as problem:
                self.tell(f"  {problem}")
        assert self.records() == before, "a dry run changed the datastore"
        assert set(self.world.tasks) <= sent, "a dry run submitted a task"

    def set_time(self, scope: str, moment_ns: int | None, *, is_now: bool) -> None:
        """What set_time.py does for one path, "" being all."""
        before = self.delivered()
        self.tell(f"set_time {'now' if is_now else moment_ns} {scope!r}")
        root_fd = open_root(str(self.src))
        try:
            with self.as_user(), Store(self.datastore) as store:
                scopes, clock_ns = [scope], self.our_ns
                set_times(
                    self.settings, store, root_fd, moment_ns=moment_ns, scopes=scopes, clock_ns=clock_ns, is_now=is_now
                )
                store.commit()
        except UsageProblem as problem:
            self.tell(f"  {problem}")
            return
        finally:
            os.close(root_fd)
        self.tree.touched.append(scope)
        after = self.delivered()
        self.assumed = {path: seen for path, seen in self.assumed.items() if path in after}
        self.assumed.update({path: seen for path, seen in after.items() if before.get(path) != seen})

    def as_user(self) -> AbstractContextManager[None]:
        """What the tool may read."""
        return modes_that_bind() if self.are_modes_binding else nullcontext()

    # --- what is recorded, and what was sent ------------------------------------------------------------------------

    @property
    def datastore(self) -> str:
        return str(self.state / "datastore")

    @property
    def settings(self) -> Settings:
        return check_settings(self.values, config_file="model.py")

    def records(self) -> dict[str, Any]:
        """Everything in the datastore."""
        with Store(self.datastore) as store:
            return {key: store.shelf[key] for key in list(store.shelf)}

    def trie(self) -> dict[str, Folder]:
        """The folders on record by rel_path."""
        with Store(self.datastore) as store:
            return {path: store.trie.folder(path) for path in store.trie.below("")}

    def delivered(self) -> dict[str, Fingerprint]:
        """What counts as delivered, empty folders with a slash at the end."""
        return {
            join(path, name) + "/" * (name == FOLDER_ITSELF): record.fingerprint
            for path, folder in self.trie().items()
            for name, record in folder.delivered.items()
        }

    def items_of(self, task: Task) -> list[str]:
        """The rel_paths of a task's items, folders with a slash at the end."""
        return [item.source_path[len(str(self.src)) + 1 :] for item in task.submission.items]

    # --- what Globus is wrong about ---------------------------------------------------------------------------------

    def let_a_list_be_odd(self, what: dict[str, Any]) -> None:
        """Let the next tasks to end be shown oddly."""
        self.tell(f"lists are odd: {what}")
        self._odd_lists.append(self.world.add_odd_list(**what))

    def let_a_task_go_wrong(self, what: dict[str, Any]) -> None:
        """Decide how the next tasks go."""
        self.tell(f"a task goes wrong: {what}")
        self._outcomes.append(self.world.add_outcome(**what))

    def keep_seeing(self, rel_path: str) -> None:
        """Let the transfer node see a path as it is now, until all is seen again."""
        self.tell(f"the node goes on seeing {rel_path} as it is now")
        self.world.keep_seeing(SRC_ID, str(self.src / rel_path))

    def date_a_copy(self, rel_path: str, seconds: int) -> None:
        """Give a copy another time, as a program at the destination may."""
        self.tell(f"the copy {rel_path} is dated {seconds} s later")
        mtime_ns = os.stat(self.dst / rel_path).st_mtime_ns + seconds * NS
        os.utime(self.dst / rel_path, ns=(mtime_ns, mtime_ns))
        self._dated.add(rel_path)

    def is_misled(self, task: Task) -> bool:
        """Whether a task saw older files, took one for current that was not or has another date, or was shown oddly."""
        is_dated = any(
            path == item or f"{path}/".startswith(item) for path in self._dated for item in self.items_of(task)
        )
        is_odd = any(task.task_id in rule.task_ids for rule in self._odd_lists)
        took = any(task.task_id in rule.ended_tasks for rule in self._outcomes if rule.outcome == "current")
        return bool(task.read_older) or is_odd or took or is_dated

    def stop_misleading(self) -> None:
        """From now on Globus is right."""
        self.world.clear_odd_lists()
        self.world.see_all()
        self.world.change_collection(DST_ID, keeps_times=True, disable_verify=False)
        self.pages_a_run = Misled().pages_a_run

    # --- helpers ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _reading_pages(self) -> Iterator[None]:
        kept, ended.PAGES_A_RUN = ended.PAGES_A_RUN, self.pages_a_run
        try:
            yield
        finally:
            ended.PAGES_A_RUN = kept

    def _helped(self) -> AbstractContextManager[dict[str, Any]]:
        return helpers(self.helper, self.settings)

    def _date_arrivals(self) -> None:
        """Let what arrived without its source's time carry the destination's, not this machine's."""
        moment_ns = self.tick_ns()
        for folder, _, names in os.walk(self.dst):
            for name in names:
                path = os.path.join(folder, name)
                if self._machine_ns <= os.stat(path).st_mtime_ns <= time.time_ns() + 2 * NS:
                    os.utime(path, ns=(moment_ns, moment_ns))


class _Interrupting:
    """Called at each moment of a run; does what was planned for it."""

    def __init__(self, route: Route, interruptions: Interruptions) -> None:
        self._route = route
        self._plan = interruptions
        self._moments = self._commits = 0

    def __call__(self, when: str) -> None:
        for moment, (kind, how) in self._plan.edits:
            if moment == self._moments:
                self._route.tell(f"  {when}:")
                with modes_that_do_not():
                    self._route.edit(kind, how)
        self._moments += 1
        if when.endswith("commit"):
            if self._plan.kill_at == self._commits:
                self._route.tell(f"  {when}: killed")
                raise Killed
            self._commits += 1


@contextmanager
def _aimed_at(globus: Emulator) -> Iterator[None]:
    """This process aimed at the emulator, and the SDK's pauses between its tries left out."""
    sdk: Any = importlib.import_module("globus_sdk.transport.requests")
    variables = globus.environment()
    before = {name: os.environ.get(name) for name in variables}
    their_time, sdk.time = sdk.time, types.SimpleNamespace(sleep=lambda seconds: None)
    os.environ.update(variables)
    try:
        yield
    finally:
        sdk.time = their_time
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
