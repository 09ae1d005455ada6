"""Watches a series of runs from outside: their requests and what they left, checked without the product's code."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from emulator.transfer.task import SUCCEEDED, Task
from emulator.world import World
from prove.crashes.tree import Tree

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Carried(NamedTuple):
    """The last task that carried a path, and how old the tree was when its submission_id was fetched."""

    task_id: str
    age: int


class Watch:
    """Stands before the emulator's application and judges every submission as it comes.

    Attributes:
        failures: What no run may do.
        submissions: How many tasks were accepted; repeated: how many were asked for again with their submission_id.
    """

    def __init__(self, application: Application, world: World, tree: Tree) -> None:
        self._application = application
        self._world = world
        self._tree = tree
        self._lock = threading.Lock()
        self._busy = 0
        self._ages: dict[str, int] = {}
        self._bodies: dict[str, dict[str, Any]] = {}
        self._accepted: set[str] = set()
        self._carried: dict[str, Carried] = {}
        self.failures: list[str] = []
        self.submissions = self.repeated = 0

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered, perhaps one of a process that is dead by now."""
        return self._busy > 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            self._busy += 1
        try:
            return self._serve(environ, start_response)
        finally:
            with self._lock:
                self._busy -= 1

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        # The first part of the path is the emulator's secret.
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO'].partition('/v0.10/')[2]}"
        if request == "GET submission_id":
            age = self._tree.age
            chunks = list(self._application(environ, start_response))
            given = json.loads(b"".join(chunks)).get("value")  # none is given to half a request
            with self._lock:
                self._ages.setdefault(given, age)
            return chunks
        if request != "POST transfer":
            return list(self._application(environ, start_response))
        length = int(environ.get("CONTENT_LENGTH") or 1)  # its sender may have died in the middle of the headers
        body = environ["wsgi.input"].read(length)
        if len(body) < length:  # its sender died in the middle of it
            raise ConnectionResetError
        environ["wsgi.input"] = io.BytesIO(body)
        with self._lock:  # one submission after the other, so that what is judged is what was
            try:
                return list(self._application(environ, start_response))
            finally:  # also when its answer is lost on the way
                self._judge(json.loads(body))

    def _judge(self, body: dict[str, Any]) -> None:
        submission_id = body["submission_id"]
        known = self._bodies.setdefault(submission_id, body)
        if known != body:
            self.failures.append(f"submission_id {submission_id} came with two bodies: {known} and {body}")
        if submission_id not in self._ages:
            self.failures.append(f"submission_id {submission_id} was never given out")
        task = self._world.queue.duplicate_of(submission_id)
        if task is None:  # refused
            return
        if submission_id in self._accepted:
            self.repeated += 1
            return
        self._accepted.add(submission_id)
        self.submissions += 1
        for path in sorted(carried_paths(task, self._tree.top)):
            before = self._carried.get(path)
            if before is not None:
                self._judge_again(path, before, task)
            self._carried[path] = Carried(task.task_id, self._ages.get(submission_id, self._tree.age))

    def _judge_again(self, path: str, before: Carried, task: Task) -> None:
        """A path may be sent again if it was touched since, or if it did not arrive.

        When Globus saw fewer files than a task carries, the tool does not know which: it may have all of them compared
        by checksum, which copies nothing that is there.
        """
        earlier = self._world.tasks[before.task_id]
        if self._tree.is_touched_since(path, before.age) or not has_arrived(path, earlier, self._tree.top):
            return
        items = [os.path.relpath(item.source_path, self._tree.top) for item in earlier.submission.items]
        if task.submission.sync_level == 3 and any(self._tree.is_gone_since(item, before.age) for item in items):
            return
        self.failures.append(f"{path} was sent twice for no reason: in {_shown(earlier)} and in {_shown(task)}")


def _shown(task: Task) -> str:
    items = [f"{item.source_path}{'/' * bool(item.recursive)}" for item in task.submission.items[:5]]
    return f"task {task.label} ({task.status}, sync level {task.submission.sync_level}, {items})"


def carried_paths(task: Task, top: Path) -> set[str]:
    """The rel_paths that a task carries now; empty folders end in a slash."""
    found: set[str] = set()
    for item in task.submission.items:
        path = Path(item.source_path)
        if item.recursive is not True:
            found.add(os.path.relpath(path, top))
            continue
        for folder, folders, files in os.walk(path):
            below = os.path.relpath(folder, top)
            found.update(f"{below}/{name}" for name in files)
            if not folders and not files:
                found.add(below + "/")
    return found


def has_arrived(path: str, task: Task, top: Path) -> bool:
    """Whether Globus reports that a task delivered a path."""
    if task.status == SUCCEEDED:
        return path not in {os.path.relpath(each.source_path, top) for each in task.skipped}
    items = task.submission.items
    arrived = {os.path.join(items[each.item].source_path, each.below).rstrip("/") for each in task.arrivals}
    return str(top / path) in arrived


def overlaps(tasks: Iterable[Task]) -> Iterator[str]:
    """The paths that two tasks carried at one time, from their beginnings and ends."""
    for first, second in combinations(tasks, 2):
        if _ended_before(first, second) or _ended_before(second, first):
            continue
        theirs = [(item.source_path.rstrip("/"), bool(item.recursive)) for item in second.submission.items]
        for item in first.submission.items:
            mine, is_tree = item.source_path.rstrip("/"), bool(item.recursive)
            for other, is_other_tree in theirs:
                if (
                    mine == other
                    or (is_other_tree and mine.startswith(f"{other}/"))
                    or (is_tree and other.startswith(f"{mine}/"))
                ):
                    yield f"{mine} and {other} were in tasks {first.label!r} and {second.label!r} at one time"


def _ended_before(first: Task, second: Task) -> bool:
    return first.completion_time is not None and first.completion_time <= second.request_time


def differences(src: Path, dst: Path) -> list[str]:
    """The paths of a tree that are not at its destination byte for byte."""
    missing = []
    for folder, _, files in os.walk(src):
        place = dst / os.path.relpath(folder, src)
        if not place.is_dir():
            missing.append(f"the folder {os.path.relpath(folder, src)} is not there")
            continue
        for name in files:
            source, copy = Path(folder, name), place / name
            if not copy.is_file():
                missing.append(f"{source.relative_to(src)} is not there")
            elif source.read_bytes() != copy.read_bytes():
                missing.append(f"{source.relative_to(src)} is not the same there")
    return missing


@lru_cache
def newer_python() -> str:
    """A Python whose shelve reads the datastore as it is, 3.13 or newer; "" where there is none."""
    for name in (sys.executable, "python3.13", "python3.14"):
        asked = "import sys, dbm.sqlite3; print(sys.executable)"
        try:
            answer = subprocess.run([name, "-c", asked], capture_output=True, text=True, check=False)
        except OSError:
            continue
        if answer.returncode == 0:
            return answer.stdout.strip()
    return ""


def read_as_shelf(python: str, datastore: Path, copy: Path) -> str:
    """The keys of a datastore as another Python's plain shelve.open shows them, of a copy, because it changes it."""
    shutil.copy(datastore, copy)
    program = (
        "import shelve, sys\nwith shelve.open(sys.argv[1]) as shelf: print({key: shelf[key] for key in shelf}.keys())"
    )
    read = subprocess.run([python, "-c", program, str(copy)], capture_output=True, text=True, check=False)
    return read.stdout + read.stderr


def processes_of(config: Path) -> list[str]:
    """The command lines of processes that were started for a configuration and still run, given a second to end."""
    found: list[str] = []
    for _ in range(20):
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it ended meanwhile
            if str(config) in words:
                found.append(words)
        if not found:
            break
        time.sleep(0.05)
    return found
