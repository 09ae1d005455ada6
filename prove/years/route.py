"""A route that years go by on: files come, change and go, Globus fails now and then, and a run follows each change."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from suite import LONG_AGO, Route
from terminal import on_a_terminal

from autotransfer.common.errors import Problem
from autotransfer.common.paths import join, split
from autotransfer.common.settings import check_settings
from autotransfer.datastore.store import Store
from autotransfer.run import Run, Watcher
from emulator.http.server import Emulator

OLD_FILES = 60
FOLDERS_AT_ONCE = 30
RUNS_PER_FOLDER = 8
SETTLING_RUNS = 12
# What goes wrong, in how many of a thousand runs. Hiccups and outages cost a run half a second and more.
BAD_TASKS = {"fail": 15, "skip": 15, "expire": 5, "cancel": 5, "forget": 3}
REFUSALS, HICCUPS, OUTAGES = 20, 4, 1
LOOKED_UP_EACH_TIME = 20
MOST_TASKS_THERE = 100
TRANSFERS = "POST /v0.10/transfer"


@dataclass
class Lived:
    """The result of a number of runs.

    Attributes:
        work_seconds: CPU time of the same piece of work right after each run: how fast the machine was then.
    """

    cpu_seconds: list[float] = field(default_factory=list)
    work_seconds: list[float] = field(default_factory=list)
    wall_seconds: list[float] = field(default_factory=list)
    peak_memory: list[int] = field(default_factory=list)
    datastore_bytes: list[int] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    tasks: int = 0
    bad_tasks: int = 0
    refused_runs: int = 0
    refreshes: int = 0
    arrived: int = 0
    looked_up: int = 0


class Years:
    """One route, signed in by a person.

    Attributes:
        known: The files that one task delivered, according to the emulator, and nothing touched since, with its id.
    """

    def __init__(self, folder: Path, globus: Emulator, chance: random.Random, log_max_bytes: int) -> None:
        folder.mkdir()
        self.route = Route(folder, globus)
        self.world = globus.world
        self.known: dict[str, str] = {}
        self._random = chance
        self._noted: set[str] = set()
        self._serial = 0
        self.route.configure(CLIENT_SECRET_FILE="", MAX_ITEMS_PER_TASK=1, LOG_MAX_BYTES=log_max_bytes)
        for number in range(OLD_FILES):  # they stay as they are through all the years
            self.route.write(f"old/{number % 7}/{number}.dat", f"old {number}")
        for number in range(FOLDERS_AT_ONCE):  # so that the tree is as large in the beginning as at the end
            self._write_new(f"day -{number:05}")
        signed_in = on_a_terminal(self.route, "test_config.py")
        assert signed_in.status == 0, signed_in.stdout
        self._noted.update(self.world.tasks)  # what test_config.py tried out

    @contextmanager
    def aimed(self) -> Iterator[None]:
        """Let runs of this process reach the emulator."""
        before = dict(os.environ)
        os.environ.update(self.route.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def live(self, runs: int, *, step_hours: float, by_cron: bool = False) -> Lived:
        """Do a number of runs, some hours apart; then leave the tree alone until all has arrived."""
        lived = Lived()
        tenth = max(1, runs // 10)
        for number in range(runs):
            self.world.advance_clock(step_hours * 3600)
            self._edit(number)
            self._arrange_faults()
            self._run(lived, by_cron=by_cron)
            self._note(lived)
            if (number + 1) % tenth == 0:
                lived.datastore_bytes.append(self.size_bytes("datastore"))
                self._look_up(lived, number)
        self.world.clear_faults()
        self.world.clear_outcomes()
        for _ in range(SETTLING_RUNS):
            self.world.advance_clock(25 * 3600)  # paths that failed rest for up to a day
            self._run(lived, by_cron=by_cron)
            self._note(lived)
        for measured in (lived.cpu_seconds, lived.work_seconds, lived.wall_seconds, lived.peak_memory):
            del measured[runs:]
        if differing := self._differing(may_back_off=by_cron):  # a process of cron sees the real clock
            lived.failures.append(f"at the end these differ at the destination: {differing[:5]}")
        return lived

    @contextmanager
    def records(self) -> Iterator[Store]:
        """The datastore, to be read."""
        with Store(str(self.route.code_path / "datastore"), is_read_only=True) as store:
            yield store

    def size_bytes(self, name: str) -> int:
        """The size of a file in CODE_PATH; 0 when it is not there."""
        path = self.route.code_path / name
        return path.stat().st_size if path.exists() else 0

    def named_tasks(self, store: Store) -> set[int]:
        """The numbers of the tasks that delivered what is recorded."""
        folders = (store.trie.folder(rel_path) for rel_path in store.trie.below(""))
        return {record.task for folder in folders for record in folder.delivered.values()}

    def why_unknown(self, rel_path: str) -> str:
        """The error in the record of a known file; "" when the record says by which task it came, and when."""
        with self.records() as store:
            folder_path, name = split(rel_path)
            folder = store.trie.folder(folder_path)
            if name in folder.in_flight:
                return ""  # Globus says that it arrived; the next run asks
            record = folder.delivered.get(name)
            if record is None:
                return f"{rel_path} is not recorded as delivered"
            task = store.task(record.task)
        if task is None:
            return f"task {record.task}, which delivered {rel_path}, is not known any more"
        if task.task_id != self.known[rel_path]:
            return f"{rel_path} came by task {self.known[rel_path]}, not by {task.task_id}"
        if task.ended_at_ns != record.transferred_at_ns:
            return f"{rel_path} came at {record.transferred_at_ns}, its task ended at {task.ended_at_ns}"
        return ""

    def _differing(self, *, may_back_off: bool) -> list[str]:
        theirs = self.route.tree(self.route.dst)
        with self.records() as store:
            folders = {rel_path: store.trie.folder(rel_path) for rel_path in store.trie.below("")}
        backing_off = {join(rel_path, name) for rel_path, folder in folders.items() for name in folder.retries}
        return [
            rel_path
            for rel_path, content in self.route.tree().items()
            if content is not None
            and theirs.get(rel_path) != content
            and not (may_back_off and rel_path in backing_off)
        ]

    def _edit(self, number: int) -> None:
        folder = f"day {number // RUNS_PER_FOLDER:05}"
        if number % RUNS_PER_FOLDER == 0:
            folders = sorted(path.name for path in self.route.src.iterdir() if path.name != "old")
            for name in self._oldest_first(folders)[: len(folders) - FOLDERS_AT_ONCE]:
                shutil.rmtree(self.route.src / name)
                self.known = {path: task for path, task in self.known.items() if not path.startswith(f"{name}/")}
        kind = self._random.random()
        if kind < 0.7:
            self._write_new(folder)
        if kind < 0.3:
            path = self._random.choice([path for path in self.route.src.glob("day*/*") if path.is_file()])
            rel_path = str(path.relative_to(self.route.src))
            self.known.pop(rel_path, None)
            if kind < 0.1:
                path.unlink()
            else:
                self._write(rel_path)

    @staticmethod
    def _oldest_first(folders: list[str]) -> list[str]:
        return sorted(folders, key=lambda name: int(name.split()[1]))

    def _write_new(self, folder: str) -> None:
        for _ in range(self._random.randint(1, 3)):
            self._serial += 1
            self._write(f"{folder}/{self._serial}.dat")

    def _write(self, rel_path: str) -> None:
        self._serial += 1
        now_seconds = LONG_AGO + self._serial  # every content has a time of its own
        self.route.write(rel_path, f"{rel_path} {self._serial}", mtime_seconds=now_seconds)

    def _arrange_faults(self) -> None:
        self.world.clear_faults()
        self.world.clear_outcomes()
        chance = self._random.randrange(1000)
        for outcome, share in BAD_TASKS.items():
            if 0 <= chance < share:
                self.world.add_outcome(outcome, times=1)
            chance -= share
        if 0 <= chance < REFUSALS:
            self.world.add_fault(TRANSFERS, times=1, status=403, json={"code": "PermissionDenied", "message": "No"})
        elif 0 <= chance - REFUSALS < HICCUPS:
            self.world.add_fault("* /v0.10/*", times=1, status=503)
        elif 0 <= chance - REFUSALS - HICCUPS < OUTAGES:
            self.world.add_fault("* /v0.10/*", times=None, status=502)

    def _run(self, lived: Lived, *, by_cron: bool) -> None:
        cpu_before, before = time.thread_time(), time.perf_counter()
        if by_cron:
            result = self.route.run("main.py", status=None)
            lived.statuses.add(result.status)
            lived.refused_runs += result.status == 6
            if result.status not in (0, 3, 6):
                lived.failures.append(f"a run of cron ended with {result.status}: {result.stderr.strip()[-500:]}")
        else:
            settings = check_settings(self.route.settings, config_file=str(self.route.config))
            with Store(settings.state_file("datastore")) as store:
                run = Run(settings, store, Watcher(), clock_ns=self._clock_ns)
                try:
                    lived.arrived += run.perform().delivered
                except Problem as problem:
                    lived.refused_runs += 1
                    if int(problem.exit_status) != 6:
                        lived.failures.append(f"a run ended with {problem.exit_status}: {problem}")
        lived.cpu_seconds.append(time.thread_time() - cpu_before)
        lived.wall_seconds.append(time.perf_counter() - before)
        lived.work_seconds.append(_same_work_seconds())
        who = resource.RUSAGE_CHILDREN if by_cron else resource.RUSAGE_SELF
        lived.peak_memory.append(resource.getrusage(who).ru_maxrss)

    def _clock_ns(self) -> int:
        return int(self.world.clock.now_seconds() * 10**9)

    def _note(self, lived: Lived) -> None:
        """Note what the tasks of this run delivered, and let the emulator forget what no run asks for any more."""
        with self.world.lock:
            for task in list(self.world.tasks.values()):
                if task.task_id in self._noted:
                    continue
                self._noted.add(task.task_id)
                lived.tasks += 1
                if task.status != "SUCCEEDED" or task.skipped:
                    lived.bad_tasks += 1
                    continue
                for item in task.submission.items:
                    self._note_item(item.source_path, task.task_id)
            refreshed = [call for call in self.world.requests if call.path == "/v2/oauth2/token" and call.status == 200]
            lived.refreshes += len(refreshed)
            self.world.requests.clear()
            if len(self.world.tasks) > MOST_TASKS_THERE:
                self._forget_ended()

    def _note_item(self, source_path: str, task_id: str) -> None:
        path = Path(source_path)
        files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
        self.known.update((str(each.relative_to(self.route.src)), task_id) for each in files)

    def _forget_ended(self) -> None:
        """Take from the emulator what no run asks for any more, so that it is not what gets slow."""
        with self.records() as store:
            open_ids = {task.task_id for task in store.ledger.open.values()}
        for task_id, task in list(self.world.tasks.items()):
            if task_id not in open_ids and not task.is_open:
                self.world.queue.forget(task)
                self._noted.discard(task_id)

    def _look_up(self, lived: Lived, number: int) -> None:
        for rel_path in self._random.sample(sorted(self.known), min(LOOKED_UP_EACH_TIME, len(self.known))):
            lived.looked_up += 1
            if why := self.why_unknown(rel_path):
                lived.failures.append(f"after run {number}: {why}")


def _same_work_seconds() -> float:
    """CPU time of a piece of work that never changes, and is of the kind that a run does."""
    before = time.thread_time()
    json.loads(json.dumps({str(number): number for number in range(4000)}))
    return time.thread_time() - before
