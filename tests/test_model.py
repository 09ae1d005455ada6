"""A random model test: edits, tasks that go wrong, lost answers and kills, and after every run what must hold.

The promise: a file that was written arrives; nothing is sent twice for no reason; no path is in two tasks at a time;
what counts as delivered equals the destination; a tree that is left alone is equal within a bounded number of runs.

MODEL_SEED chooses the first sequence, MODEL_ROUNDS how many sequences follow one another, MODEL_STEPS how long each is.
A failure prints the seed and the steps that led to it.
"""

from __future__ import annotations

import os
import random
import stat
import time
import types
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from suite import CLIENT_ID, DST_ID, LONG_AGO, SRC_ID

from autotransfer.errors import GlobusProblem, UsageProblem
from autotransfer.paths import FOLDER_ITSELF, join, split
from autotransfer.reset import set_times
from autotransfer.run import Run, Watcher
from autotransfer.scan import Fingerprint, open_root
from autotransfer.settings import Settings, check_settings
from autotransfer.store import Store
from autotransfer.summary import Summary
from autotransfer.trie import Folder
from emulator.server import Emulator
from emulator.world import Collection, Task

NS = 10**9
HOUR_SECONDS = 3600
NAMES = ("a", "b", "b.c", "d", "é", "t.tmp")  # few, so that paths meet again
SIZES = (0, 3, 6, 6, 13)  # half of one is another: a half-written copy may have the right size
EXCLUDED = "*.tmp"
MOST_DEPTH = 3
SETTLING_RUNS = 8


class Killed(BaseException):
    """The process dies here; what was not committed is gone."""


class Deadly(Store):
    """A datastore that lets the model act around each commit point."""

    def __init__(self, path: str, around: Callable[[str], None]) -> None:
        super().__init__(path)
        self._around = around

    def commit(self) -> None:
        self._around("before a commit")
        super().commit()
        self._around("after a commit")


class Watching(Watcher):
    """Lets the model act while the tree is scanned and between two submissions."""

    def __init__(self, act: Callable[[str], None]) -> None:
        self._act = act

    def change(self, rel_path: str, why: str, size_bytes: int) -> None:
        self._act(f"while {rel_path} is found {why}")


class Model:
    """One route with everything that may happen to it, chosen by one seed."""

    def __init__(self, seed: int, folder: Path, globus: Emulator) -> None:
        self.random = random.Random(seed)
        self.world = globus.world
        self.src, self.dst, self.state = folder / "src", folder / "dst", folder / "state"
        for each in (self.src, self.state):
            each.mkdir(parents=True)
        secret = folder / "secret"
        secret.write_text("a secret")
        secret.chmod(0o600)
        choose = self.random.choice
        self.is_quiet = False
        self.values: dict[str, Any] = {
            "SRC_DIR": str(self.src),
            "DST_DIR": str(self.dst),
            "SRC_ID": SRC_ID,
            "DST_ID": DST_ID,
            "CLIENT_ID": CLIENT_ID,
            "CODE_PATH": str(self.state),
            "CLIENT_SECRET_FILE": str(secret),
            "SETTLE_SECONDS": choose([0, 0, 0, 2]),
            "SYNC_LEVEL": choose(["mtime", "mtime", "mtime", "checksum", "size", "exists"]),
            "PRESERVE_TIMESTAMP": choose([True, True, False]),
            "SKIP_SOURCE_ERRORS": choose([True, True, False]),
            "EXCLUDE": choose([[], [EXCLUDED]]),
            "SYMLINKS": choose(["ignore", "follow"]),
            "MAX_ITEMS_PER_TASK": choose([2, 3, 1000]),
            "MAX_TASKS_IN_FLIGHT": choose([2, 3, 20]),
        }
        self.story: list[str] = [f"settings {self.values}"]
        self.counter = 0
        self.offset_ns = 0
        self.vouched: dict[str, Fingerprint | None] = {}  # paths that set_time.py declared delivered
        self.runs = 0
        self.write("keep", 3)  # a SRC_DIR that turns empty is refused: that is its own test

    # --- the clock and the settings ---------------------------------------------------------------------------------

    def clock_ns(self) -> int:
        return time.time_ns() + self.offset_ns

    def advance(self, seconds: float) -> None:
        self.offset_ns += int(seconds * NS)
        self.world.advance_clock(seconds)

    @property
    def settings(self) -> Settings:
        return check_settings(self.values, config_file="model.py")

    def tell(self, text: str) -> None:
        self.story.append(text)

    # --- the tree ---------------------------------------------------------------------------------------------------

    def folders(self) -> list[str]:
        found = [""]
        for path, names, _ in os.walk(self.src):
            found.extend(
                os.path.relpath(os.path.join(path, name), self.src) for name in names if not self._is_link(path, name)
            )
        return sorted(found)

    @staticmethod
    def _is_link(path: str, name: str) -> bool:
        return os.path.islink(os.path.join(path, name))

    def files(self) -> list[str]:
        found: list[str] = []
        for path, _, names in os.walk(self.src):
            found.extend(os.path.relpath(os.path.join(path, name), self.src) for name in names)
        return sorted(name for name in found if stat.S_ISREG((self.src / name).lstat().st_mode))

    def moment_ns(self) -> int:
        """A modification time, never the same twice: same second, older, newer, just now or in the future."""
        self.counter += 1
        kind = self.random.randrange(10)
        if kind < 7:
            return (LONG_AGO + self.random.randrange(4)) * NS + self.counter
        if kind < 9:
            return self.clock_ns() // NS * NS - self.random.randrange(3) * NS + self.counter
        return self.clock_ns() // NS * NS + 1000 * HOUR_SECONDS * NS + self.counter

    def write(self, rel_path: str, size_bytes: int, mtime_ns: int | None = None) -> None:
        path = self.src / rel_path
        path.write_bytes(self.random.randbytes(size_bytes))
        moment = self.moment_ns() if mtime_ns is None else mtime_ns
        os.utime(path, ns=(moment, moment))

    def new_path(self) -> str:
        folder = self.random.choice([each for each in self.folders() if each.count("/") < MOST_DEPTH - 1])
        return join(folder, self.random.choice(NAMES))

    def remove(self, rel_path: str) -> None:
        path = self.src / rel_path
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
            for child in sorted(os.listdir(path)):
                self.remove(join(rel_path, child))
            path.rmdir()
        else:
            path.unlink()

    # --- steps ------------------------------------------------------------------------------------------------------

    def edit(self) -> None:
        edits: list[tuple[int, Callable[[], str | None]]] = [
            (8, self.edit_create),
            (3, self.edit_create_tree),
            (3, self.edit_append),
            (4, self.edit_rewrite),
            (2, self.edit_touch),
            (3, self.edit_rename),
            (3, self.edit_delete),
            (2, self.edit_mkdir),
            (1, self.edit_symlink),
            (1, self.edit_chmod),
            (1, self.edit_swap_type),
        ]
        done = self.random.choices([edit for _, edit in edits], [weight for weight, _ in edits])[0]()
        if done:
            self.tell(f"  {done}")

    def edit_create(self) -> str | None:
        path = self.new_path()
        if os.path.lexists(self.src / path):
            return None
        self.write(path, self.random.choice(SIZES))
        return f"create {path} {self.about(path)}"

    def edit_create_tree(self) -> str | None:
        top = self.new_path()
        if os.path.lexists(self.src / top):
            return None
        (self.src / top).mkdir()
        for name in self.random.sample(NAMES, self.random.randrange(4)):
            if top.count("/") < MOST_DEPTH - 1 and self.random.random() < 0.4:
                (self.src / top / name).mkdir()
                for deeper in self.random.sample(NAMES, self.random.randrange(3)):
                    self.write(f"{top}/{name}/{deeper}", self.random.choice(SIZES))
            else:
                self.write(f"{top}/{name}", self.random.choice(SIZES))
        return f"create tree {top}: {sorted(str(each.relative_to(self.src)) for each in (self.src / top).rglob('*'))}"

    def any_file(self) -> str | None:
        files = [name for name in self.files() if name != "keep"]
        return self.random.choice(files) if files else None

    def edit_append(self) -> str | None:
        path = self.any_file()
        if path is None:
            return None
        mtime_ns = (self.src / path).stat().st_mtime_ns
        with (self.src / path).open("ab") as file:
            file.write(self.random.randbytes(3))
        # Now, or as a copying program that keeps the time would.
        self.counter += 1
        moment = mtime_ns // NS * NS + self.counter if self.random.random() < 0.3 else self.moment_ns()
        os.utime(self.src / path, ns=(moment, moment))
        return f"append {path} {self.about(path)}"

    def edit_rewrite(self) -> str | None:
        path = self.any_file()
        if path is None:
            return None
        status = (self.src / path).stat()
        size_bytes = self.random.choice([status.st_size, status.st_size, *SIZES])
        self.counter += 1
        second = status.st_mtime_ns // NS * NS
        moment = self.random.choice([second + self.counter, second - NS + self.counter, self.moment_ns()])
        self.write(path, size_bytes, moment)
        return f"rewrite {path} {self.about(path)}"

    def edit_touch(self) -> str | None:
        path = self.any_file()
        if path is None:
            return None
        moment = self.moment_ns()
        os.utime(self.src / path, ns=(moment, moment))
        return f"touch {path} {self.about(path)}"

    def edit_rename(self) -> str | None:
        candidates = [each for each in [*self.files(), *self.folders()] if each not in ("", "keep")]
        if not candidates:
            return None
        old, new = self.random.choice(candidates), self.new_path()
        source, target = self.src / old, self.src / new
        if new == old or new.startswith(f"{old}/") or old.startswith(f"{new}/") or target.is_dir():
            return None
        if source.is_dir() and (os.path.lexists(target) or new.count("/") + 2 > MOST_DEPTH):
            return None
        before = self.about(old)
        os.rename(source, target)
        if not target.is_dir():
            # What comes back under its old name and time could not be told from what never left.
            moment = self.moment_ns()
            os.utime(target, ns=(moment, moment), follow_symlinks=False)
        else:
            for each in target.rglob("*"):
                moment = self.moment_ns()
                os.utime(each, ns=(moment, moment), follow_symlinks=False)
        return f"rename {old} {before} to {new}"

    def edit_delete(self) -> str | None:
        candidates = [each for each in [*self.files(), *self.folders()] if each not in ("", "keep")]
        if not candidates:
            return None
        path = self.random.choice(candidates)
        self.remove(path)
        return f"delete {path}"

    def edit_mkdir(self) -> str | None:
        path = self.new_path()
        if os.path.lexists(self.src / path):
            return None
        (self.src / path).mkdir()
        return f"mkdir {path}"

    def edit_symlink(self) -> str | None:
        path = self.new_path()
        target = self.any_file()
        if target is None or os.path.lexists(self.src / path):
            return None
        os.symlink(self.random.choice([str(self.src / target), "nowhere", "."]), self.src / path)
        return f"symlink {path} to {os.readlink(self.src / path)}"

    def edit_chmod(self) -> str | None:
        candidates = [each for each in [*self.files(), *self.folders()] if each not in ("", "keep")]
        if not candidates:
            return None
        path = self.random.choice(candidates)
        is_open = (self.src / path).stat().st_mode & 0o400
        (self.src / path).chmod(0o000 if is_open else 0o755)
        return f"chmod {path} {'000' if is_open else '755'}"

    def edit_swap_type(self) -> str | None:
        """A file becomes a folder, or a folder a file: the destination cannot follow until someone removes it there."""
        candidates = [each for each in [*self.files(), *self.folders()] if each not in ("", "keep")]
        if not candidates:
            return None
        path = self.random.choice(candidates)
        was_folder = (self.src / path).is_dir()
        self.remove(path)
        if was_folder:
            self.write(path, 6)
        else:
            (self.src / path).mkdir()
            self.write(f"{path}/a", 6)
        return f"{path} becomes a {'file' if was_folder else 'folder'}"

    def about(self, rel_path: str) -> str:
        status = (self.src / rel_path).lstat()
        return f"({status.st_mtime_ns}, {status.st_size})"

    def step_trouble(self) -> None:
        """Something is about to go wrong with tasks."""
        outcome = self.random.choice(["fail", "skip", "cancel", "expire", "forget", "corrupt", "half", "stall", "half"])
        what: dict[str, Any] = {"times": self.random.choice([1, 1, 2])}
        if self.random.random() < 0.5:
            what["path"] = f"*/{self.random.choice(NAMES)}"
        if self.random.random() < 0.5:
            what["after_files"] = self.random.randrange(3)
        self.tell(f"outcome {outcome} {what}")
        self.world.add_outcome(outcome, **what)

    def step_task(self) -> None:
        """Something happens to an open task."""
        tasks = [task for task in self.world.tasks.values() if task.is_open]
        if not tasks:
            return
        task = self.random.choice(tasks)
        what: dict[str, Any] = self.random.choice(
            [
                {"pause": not task.is_paused},
                {"inactive": task.status == "ACTIVE"},
                {"cancel_by_admin": "SOURCE"},
                {"forget": True},
            ]
        )
        self.tell(f"task {task.label}: {what}")
        self.world.change_task(task.task_id, **what)

    def step_network(self) -> None:
        """Answers get lost, or refused."""
        route = self.random.choice(["POST /v0.10/transfer", "POST /v0.10/transfer", "GET /v0.10/*"])
        what: dict[str, Any] = self.random.choice(
            [{"reset": "after"}, {"reset": "before"}, {"status": 503}, {"status": 502, "text": "<html>"}]
        )
        times = self.random.choice([1, 4, 5])  # a call is tried four times
        self.tell(f"network {route} {what} {times} times")
        self.world.add_fault(route, times=times, **what)

    def step_progress(self) -> None:
        mode = self.random.choice(["immediate", "polls:1", "polls:2", "polls:4"])
        self.tell(f"progress {mode}")
        self.world.set_progress(mode)

    def step_clock(self) -> None:
        hours = self.random.choice([0.1, 1, 10, 30, 100, 900])
        self.tell(f"{hours} hours pass")
        self.advance(hours * HOUR_SECONDS)

    def step_settings(self) -> None:
        """The owner edits the configuration."""
        choices: list[tuple[str, list[Any]]] = [
            ("PRESERVE_TIMESTAMP", [True, False]),
            ("SYNC_LEVEL", ["mtime", "checksum", "size", "exists"]),
            ("EXCLUDE", [[], [EXCLUDED]]),
            ("SYMLINKS", ["ignore", "follow"]),
        ]
        name, values = self.random.choice(choices)
        self.values[name] = self.random.choice(values)
        self.tell(f"{name} = {self.values[name]}")

    def step_set_time(self) -> None:
        scope = self.random.choice([each for each in [*self.folders(), *self.files()] if each])
        moment_ns = self.random.choice([None, self.clock_ns(), (LONG_AGO + 2) * NS])
        before = self.delivered()
        root_fd = open_root(str(self.src))
        try:
            with Store(str(self.state / "datastore")) as store:
                set_times(self.settings, store, root_fd, moment_ns=moment_ns, scopes=[scope], clock_ns=self.clock_ns)
                store.commit()
        except UsageProblem as problem:
            self.tell(f"set_time {moment_ns} {scope}: {problem}")
            return
        finally:
            os.close(root_fd)
        self.tell(f"set_time {moment_ns} {scope}")
        for path, fingerprint in self.delivered().items():
            if before.get(path) != fingerprint:
                self.vouched[path] = fingerprint

    def step_dry_run(self) -> None:
        if not (self.state / "datastore").exists():
            return
        before = self.records()
        sent = set(self.world.tasks)
        self.tell("dry run")
        with Store(str(self.state / "datastore")) as store:
            try:
                Run(self.settings, store, Watcher(), is_dry=True, clock_ns=self.clock_ns).perform()
            except GlobusProblem as problem:
                self.tell(f"  {problem}")
        assert self.records() == before, "a dry run changed the datastore"
        assert set(self.world.tasks) <= sent, "a dry run submitted a task"

    def step(self) -> None:
        steps: list[tuple[int, Callable[[], object]]] = [
            (30, self.edit),
            (14, self.step_run),
            (3, self.step_trouble),
            (1, self.step_task),
            (1, self.step_network),
            (2, self.step_progress),
            (1, self.step_clock),
            (1, self.step_settings),
            (1, self.step_set_time),
            (1, self.step_dry_run),
        ]
        self.random.choices([step for _, step in steps], [weight for weight, _ in steps])[0]()

    # --- a run ------------------------------------------------------------------------------------------------------

    def _act(self, when: str) -> None:
        if self.is_quiet:
            return
        chance = self.random.random()
        if chance < 0.04:
            self.tell(f"  {when}:")
            self.edit()
        elif chance < 0.06 and when.endswith("commit"):
            self.tell(f"  {when}: killed")
            raise Killed

    def step_run(self) -> Summary | None:
        self.runs += 1
        self.tell(f"run {self.runs}")
        tasks_before = set(self.world.tasks)
        summary: Summary | None = None
        with Deadly(str(self.state / "datastore"), self._act) as store:
            run = Run(self.settings, store, Watching(self._act), clock_ns=self.clock_ns)
            try:
                summary = run.perform()
            except Killed:
                pass
            except GlobusProblem as problem:
                assert not self.is_quiet, problem
                self.tell(f"  {type(problem).__name__}: {problem}")
        for task_id, task in list(self.world.tasks.items()):
            if task_id not in tasks_before:
                self.tell(f"  sent {task.label} level {task.submission.sync_level} {self.paths_of(task)} {task.status}")
        if summary is not None:
            self.tell(f"  {counted(summary)}")
        self.check()
        return summary

    def paths_of(self, task: Task) -> list[str]:
        return [item.source_path[len(str(self.src)) + 1 :] for item in task.submission.items]

    # --- what must hold ---------------------------------------------------------------------------------------------

    def records(self) -> dict[str, Any]:
        with Store(str(self.state / "datastore")) as store:
            return {key: store.shelf[key] for key in list(store.shelf)}

    def trie(self) -> dict[str, Folder]:
        if not (self.state / "datastore").exists():
            return {}
        with Store(str(self.state / "datastore")) as store:
            return {path: store.trie.folder(path) for path in store.trie.below("")}

    def delivered(self) -> dict[str, Fingerprint]:
        return {
            join(path, name) + "/" * (name == FOLDER_ITSELF): record.fingerprint
            for path, folder in self.trie().items()
            for name, record in folder.delivered.items()
        }

    def seen(self, path: str) -> Fingerprint | None:
        """The fingerprint of a file as the settings see it."""
        target = self.src / path
        try:
            status = target.stat() if self.values["SYMLINKS"] == "follow" else target.lstat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None

    def check(self) -> None:
        assert not self.world.conflicts, f"a path was in two tasks at a time: {self.world.conflicts}"
        with Store(str(self.state / "datastore")) as store:
            open_tasks = store.ledger.open
            item_keys = {int(key.split()[1]) for key in store.shelf.keys_below("items ")}
            trie = {path: store.trie.folder(path) for path in store.trie.below("")}
        assert item_keys == set(open_tasks), f"items of {item_keys}, but open are {set(open_tasks)}"
        for path, folder in trie.items():
            carriers = {record.task for record in folder.in_flight.values()} | ({folder.cover} - {0})
            assert carriers <= set(open_tasks), f"{path!r} waits for {carriers}, but open are {set(open_tasks)}"
            for name, record in folder.delivered.items():
                whole = join(path, name)
                if name in folder.in_flight or folder.cover:
                    continue
                if name == FOLDER_ITSELF:
                    if (
                        (self.src / path).is_dir()
                        and not (self.src / path).is_symlink()
                        and f"{path}/" not in self.vouched
                    ):
                        assert (self.dst / path).is_dir(), f"the empty folder {path} counts as delivered, and is not"
                    continue
                if self.seen(whole) != record.fingerprint or self.vouched.get(whole) == record.fingerprint:
                    continue
                assert self.content(self.dst / whole) == self.content(self.src / whole), (
                    f"{whole} counts as delivered {record}, and the destination differs"
                )

    @staticmethod
    def content(path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except OSError:
            return None

    def expected(self) -> dict[str, bytes | None]:
        """What the destination must hold: every file that can be sent, and every folder that is empty to Globus."""
        wanted: dict[str, bytes | None] = {}
        todo = [""]
        while todo:
            folder = todo.pop()
            is_bare = True
            for entry in sorted(os.scandir(self.src / folder), key=lambda each: each.name):
                path = join(folder, entry.name)
                if any(fnmatchcase(entry.name, pattern) for pattern in self.values["EXCLUDE"]):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    todo.append(path)
                    is_bare = False
                elif self.seen(path) is not None:
                    wanted[path] = self.content(self.src / path)
                    is_bare = False
                elif self.values["SYMLINKS"] == "follow" and not os.path.exists(self.src / path):
                    is_bare = False  # it cannot be followed: the folder is not sent as an empty one
            if is_bare and folder:
                wanted[folder] = None
        return wanted

    def is_blocked(self, path: str, *, is_folder: bool) -> bool:
        """Whether the destination has a file where the path needs a folder, or a folder where it needs a file."""
        while path:
            target = self.dst / path
            if os.path.lexists(target) and target.is_dir() is not is_folder:
                return True
            path, is_folder = split(path)[0], True
        return False

    def missing(self, *, with_blocked: bool) -> list[str]:
        """What differs at the destination, and should not."""
        found = []
        for path, content in self.expected().items():
            key = path if content is not None else f"{path}/"
            fingerprint = self.seen(path) if content is not None else (0, 0)
            if key in self.vouched and self.vouched[key] == fingerprint:
                continue
            if not with_blocked and self.is_blocked(path, is_folder=content is None):
                continue
            target = self.dst / path
            if not target.is_dir() if content is None else self.content(target) != content:
                found.append(path)
        return found

    def come_to_rest(self) -> None:
        """No more edits, no more faults: the destination must become equal, and then nothing more may be sent."""
        self.tell("all is left alone")
        self.is_quiet = True
        self.world.clear_faults()
        self.world.clear_outcomes()
        self.world.set_progress("immediate")
        for task in [task for task in self.world.tasks.values() if task.is_open]:
            self.world.change_task(task.task_id, pause=False, inactive=False)
        for path in [*self.folders(), *self.files()]:
            (self.src / path).chmod(0o755)
        for path in self.folders()[1:]:
            os.utime(self.src / path, (LONG_AGO, LONG_AGO))
        a_run = min(self.values["MAX_ITEMS_PER_TASK"] * self.values["MAX_TASKS_IN_FLIGHT"], 10_000)
        bound = SETTLING_RUNS + 2 * (len(self.expected()) // a_run)
        blocked = sum(self.is_blocked(path, is_folder=content is None) for path, content in self.expected().items())
        if 2 * blocked < a_run:  # paths that cannot succeed take room in tasks from those that can
            self._run_until(lambda: not self.missing(with_blocked=False), 2 * bound)
        self._run_until(lambda: self._is_free() and not self.missing(with_blocked=True), bound)
        self.advance(HOUR_SECONDS)  # what was touched just now has settled
        self._run_until(self._is_at_rest, 2)
        summary = self.step_run()
        assert summary is not None
        assert (summary.submitted, summary.changes, summary.waiting) == (0, 0, 0), counted(summary)
        self.check_rest()

    def _run_until(self, is_done: Callable[[], bool], most_runs: int) -> None:
        for _ in range(most_runs):
            if is_done():
                return
            self.advance(25 * HOUR_SECONDS)
            self.step_run()
        assert is_done(), f"after {most_runs} runs still missing: {self.missing(with_blocked=True)}"

    def _is_free(self) -> bool:
        """Whether no task is open; a person has removed what is of another type at the destination."""
        for path, content in self.expected().items():
            while path and self.is_blocked(path, is_folder=content is None):
                self._clear_the_way(path, is_folder=content is None)
        return not self._open_tasks()

    def _open_tasks(self) -> int:
        with Store(str(self.state / "datastore")) as store:
            return len(store.ledger.open)

    def _is_at_rest(self) -> bool:
        summary = self.step_run()
        return summary is not None and not summary.submitted and not self._open_tasks()

    def _clear_the_way(self, path: str, *, is_folder: bool) -> None:
        """What a person does when told that the destination has another type there."""
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            target = self.dst.joinpath(*parts[:depth])
            wants_folder = is_folder or depth < len(parts)
            if os.path.lexists(target) and target.is_dir() is not wants_folder:
                self.tell(f"remove {target.relative_to(self.dst)} at the destination")
                if target.is_dir():
                    for each in sorted(target.rglob("*"), reverse=True):
                        each.rmdir() if each.is_dir() else each.unlink()
                    target.rmdir()
                else:
                    target.unlink()
                return

    def check_rest(self) -> None:
        """At rest the records are exactly the tree."""
        wanted = {path + "/" * (content is None) for path, content in self.expected().items()}
        assert {path for path in self.delivered() if not self._is_kept(path)} == wanted
        on_disk = set(self.folders())
        for path, folder in self.trie().items():
            assert not folder.in_flight, f"{path!r} still has {folder.in_flight}"
            left = {name for name in folder.retries if not self._is_kept(join(path, name))}
            assert not left, f"{path!r} still has {folder.retries}"
            assert not folder.cover, f"{path!r} is still covered by {folder.cover}"
            assert path in on_disk or self._is_kept(path), f"{path!r} is gone, and has a record {folder.pack()}"
            names = {split(each)[1] for each in on_disk if each and split(each)[0] == path}
            assert folder.folders <= names | {each for each in folder.folders if self._is_kept(join(path, each))}

    def _is_kept(self, path: str) -> bool:
        """Whether records stay although the scan does not see the path: left out, or a link that cannot be followed."""
        parts = path.rstrip("/").split("/")
        above = [self.src.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
        is_excluded = bool(self.values["EXCLUDE"]) and any(fnmatchcase(part, EXCLUDED) for part in parts)
        return is_excluded or any(each.is_symlink() and not each.exists() for each in above)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, globus: Emulator) -> Iterator[None]:
    """This process aimed at the emulator, and the SDK's pauses between its tries left out."""
    for name, value in globus.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("globus_sdk.transport.requests.time", types.SimpleNamespace(sleep=lambda seconds: None))
    yield


def counted(summary: Summary) -> str:
    return " ".join(f"{name}={count}" for name, count in summary.counts().items() if count)


def play(seed: int, steps: int, folder: Path, globus: Emulator) -> Model:
    """One sequence; a failure tells its story."""
    model = Model(seed, folder, globus)
    try:
        for _ in range(steps):
            model.step()
        model.come_to_rest()
    except BaseException as error:
        story = "\n".join(model.story)
        raise AssertionError(f"MODEL_SEED={seed} MODEL_STEPS={steps}: {error!r}\n{story}") from error
    return model


@pytest.mark.usefixtures("hasty")
def test_whatever_happens_what_was_written_arrives(tmp_path: Path) -> None:
    seed = int(os.environ.get("MODEL_SEED") or random.SystemRandom().randrange(10**6))
    rounds, steps = int(os.environ.get("MODEL_ROUNDS", 30)), int(os.environ.get("MODEL_STEPS", 60))
    print(f"MODEL_SEED={seed} MODEL_STEPS={steps}")
    runs = 0
    for number in range(seed, seed + rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        ends = [Collection(id=SRC_ID, root=Path("/")), Collection(id=DST_ID, root=Path("/"))]
        with pytest.MonkeyPatch.context() as patch, Emulator(ends) as globus:
            for name, value in globus.environment().items():
                patch.setenv(name, value)
            runs += play(number, steps, folder, globus).runs
    assert runs > rounds
