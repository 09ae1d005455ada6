"""The model's witness: what the tool calls proved is held against the true bytes of both trees.

It remembers what every file of the source ever held, by path, fingerprint and ctime - mtime, and reads the destination
at each commit. It follows none of the tool's reasons:

- What is recorded as `verified` or `equal` was, at the commit that says so, at the destination byte for byte as the
  source was when it had that fingerprint and ctime.
- Whatever `status.py --path` calls safe to delete is all at the destination, byte for byte, at that moment.

One thing is excused (docs/limits.md): the transfer node still saw an older version of the file, and Globus copied that,
which has the very size of the one that was sent; or found it equal, where nothing was recorded of the copy's size.
Nobody outside the node can notice that.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotransfer.common.paths import FOLDER_ITSELF, join
from autotransfer.datastore.evidence import EQUAL, PROVED, WORDS
from autotransfer.datastore.reader import open_reader
from autotransfer.datastore.record import Delivered, Fingerprint
from autotransfer.datastore.store import Store
from autotransfer.scan.folders import open_root
from autotransfer.status.path import answer

if TYPE_CHECKING:
    from model_route import Route


class Unproved(AssertionError):
    """The tool says more than is true of the bytes."""


class Witness:
    """Watches one route.

    Attributes:
        excused: How many deliveries of an older version were excused.
        credits: How many paths were recorded as proved and found to be so.
        promises: How many paths, of files and folders, were called safe to delete and found to be so.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self.excused = self.credits = self.promises = 0
        self._held: dict[tuple[str, Fingerprint, int], bytes] = {}
        self._proved: dict[str, Delivered] = {}
        self._excuses: dict[str, Delivered] = {}
        self._failures: list[str] = []
        self._tasks: dict[str, Any] = {}
        self._known_copies: dict[tuple[str, int], bool] = {}  # whether the copy's size was, when the task took the path
        self.see_source()

    # --- what is seen -----------------------------------------------------------------------------------------------

    def see_source(self) -> None:
        """Remember what every file holds now; called after each edit."""
        for path, status in self._files(self._route.src):
            lag_ns = status.st_ctime_ns - status.st_mtime_ns
            key = path, (status.st_mtime_ns, status.st_size), lag_ns
            held = (self._route.src / path).read_bytes()
            assert self._held.setdefault(key, held) == held, f"the model itself lets {path} change unseen"

    def see_commit(self) -> None:
        """Hold what is newly recorded as proved against the destination; called after each commit.

        A failure is kept for `check`, as a run may survive what is raised inside it.
        """
        self._tasks.update(self._route.world.tasks)
        proved: dict[str, Delivered] = {}
        with Store(self._route.datastore, is_read_only=True) as store:
            task_ids = {number: task.task_id for number, task in store.ledger.open.items()}
            for folder_path in store.trie.below(""):
                folder = store.trie.folder(folder_path)
                for name, flying in folder.in_flight.items():
                    path, known = join(folder_path, name), folder.delivered.get(name)
                    there = content(self._route.dst / path)
                    is_known = known is not None and there is not None and known.size_bytes == len(there)
                    self._known_copies.setdefault((path, flying.task), is_known)
                for name, record in folder.delivered.items():
                    if record.evidence in PROVED and name != FOLDER_ITSELF and name not in folder.in_flight:
                        path = join(folder_path, name)
                        proved[path] = record
                        if self._proved.get(path) != record:
                            task = store.task(record.task) if record.task not in task_ids else None
                            task_id = task.task_id if task else task_ids.get(record.task, "")
                            self._see_credit(path, record, task_id)
        self._proved = proved

    def _see_credit(self, path: str, record: Delivered, task_id: str) -> None:
        described = self._held.get((path, record.fingerprint, record.ctime_lag_ns))
        there = content(self._route.dst / path)
        if described is not None and described == there:
            self.credits += 1
        elif self._is_excused(path, record, task_id, there):
            self.excused += 1
            self._excuses[path] = record
        else:
            word = WORDS[record.evidence]
            self._failures.append(f"{path} is called {word} as {described!r} ({record}), and the copy is {there!r}")

    def _is_excused(self, path: str, record: Delivered, task_id: str, there: bytes | None) -> bool:
        """Whether the task that the record names read an older version, which is there now, and no size shows it."""
        task = self._tasks.get(task_id)
        was_seen_older = task is not None and str(self._route.src / path) in task.read_older
        is_older = there in [held for (of, _, _), held in self._held.items() if of == path]
        is_size_known = self._known_copies.get((path, record.task), True) or record.evidence != EQUAL
        is_size_same = there is not None and len(there) == record.size_bytes
        return was_seen_older and is_older and (is_size_same or not is_size_known)

    # --- what must hold ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise what was noted, and check what may be deleted now; called after each step.

        Raises:
            Unproved: The tool is wrong.
        """
        if os.path.exists(self._route.datastore):
            self.see_commit()
        if self._failures:
            raise Unproved("\n".join(self._failures))
        self._check_promises()

    def _check_promises(self) -> None:
        route = self._route
        root_fd = open_root(str(route.src))
        store, reader = open_reader(route.settings)
        with store:
            try:
                for path in ["", *route.tree.everything(), *route.tree.links()]:
                    with route.as_user():
                        found = answer(route.settings, reader, root_fd, path, clock_ns=route.our_ns)
                    if found.is_safe:
                        self.promises += 1
                        differ = self._differing(path)
                        if differ:
                            raise Unproved(f"{path!r} is called safe to delete, and {differ} differ ({found})")
                        if not path:
                            return  # what is below it was all compared
            finally:
                os.close(root_fd)

    def _differing(self, path: str) -> list[str]:
        """What is on disk at this path or below it and not at the destination."""
        src, dst = self._route.src, self._route.dst
        top = src / path
        if not top.is_dir() or top.is_symlink():
            return [] if self._is_there(path) else [path]
        found = []
        for folder, names, files in os.walk(top):
            rel_path = os.path.relpath(folder, src)
            below = "" if rel_path == "." else rel_path
            links = [name for name in names if os.path.islink(os.path.join(folder, name))]
            found += [join(below, name) for name in [*files, *links] if not self._is_there(join(below, name))]
            if below and not os.listdir(folder) and not (dst / below).is_dir():
                found.append(f"{below}/")
        return found

    def _is_there(self, path: str) -> bool:
        ours = content(self._route.src / path)
        if ours is not None and ours == content(self._route.dst / path):
            return True
        return path in self._excuses and self._excuses[path] == self._proved.get(path)

    @staticmethod
    def _files(top: Path) -> list[tuple[str, os.stat_result]]:
        """Every path of a regular file, those of links that lead to one as well."""
        found = []
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    status = os.stat(path)
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    found.append((os.path.relpath(path, top), status))
        return found


def content(path: Path) -> bytes | None:
    """A file's bytes; None where there is none."""
    try:
        return path.read_bytes()
    except OSError:
        return None
