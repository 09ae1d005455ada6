"""The oracle of the model: what must hold, told from the two trees and from Globus, not from how the engine works."""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from model_edits import HOUR_SECONDS
from model_route import Interruptions, Route

from autotransfer.common.paths import FOLDER_ITSELF, join, split
from autotransfer.common.summary import Summary
from autotransfer.datastore.evidence import PROVED
from autotransfer.datastore.record import Fingerprint, Folder
from autotransfer.datastore.store import Store
from emulator.world import Task

# A tree left alone is equal after this many runs, with two more for each time that what it holds exceeds what one
# run may send; twice as many while a file at the destination lies where a folder should, or the other way round.
RUNS_TO_EQUALITY = 8
# Three more where Globus has forgotten a task: it is not shown, not shown a day later, and then given up.
RUNS_TO_GIVE_UP = 3
UNDISTURBED = Interruptions()


class Sent(NamedTuple):
    """One path on its last way: what it was, in which task, and how many edits came before that, and before its end."""

    seen: Fingerprint
    task: Task
    after: int
    settled_after: int | None


class Oracle:
    """Judges one route.

    Attributes:
        most_runs: The most runs that any tree needed to become equal.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        self.most_runs = 0
        self._sent: dict[str, Sent] = {}
        self._prepared: dict[str, int] = {}  # submission_id to the edits before the run that prepared it

    # --- a run ------------------------------------------------------------------------------------------------------

    def run(self, interruptions: Interruptions = UNDISTURBED, *, wait_seconds: float | None = None) -> Summary | None:
        """One run, and everything that must hold after it."""
        edits_before, tasks_before = len(self.route.tree.touched), set(self.route.world.tasks)
        summary = self.route.run(interruptions, wait_seconds=wait_seconds)
        self.check_open_tasks()
        self.route.witness.check()
        self.check_delivered()
        self.check_sent_once(tasks_before, edits_before)
        if summary is not None and not summary.is_quick and len(self.route.tree.touched) == edits_before:
            self.check_accounted(summary, has_waited=wait_seconds is not None)
        return summary

    def check_open_tasks(self) -> None:
        """No path is in two open tasks, and the records name only open tasks."""
        assert not self.route.world.conflicts, f"a path was in two tasks at a time: {self.route.world.conflicts}"
        with Store(self.route.datastore) as store:
            open_tasks = set(store.ledger.open)
            with_items = {int(key.split()[1]) for key in store.shelf.keys_below("items ")}
        assert with_items == open_tasks, f"items of {with_items}, but open are {open_tasks}"
        for path, folder in self.route.trie().items():
            carriers = {record.task for record in folder.in_flight.values()} | ({folder.carried_by} - {0})
            assert carriers <= open_tasks, f"{path!r} waits for {carriers}, but open are {open_tasks}"

    def check_delivered(self) -> None:
        """What counts as delivered, and is still the same, is at the destination byte for byte.

        Where Globus may be wrong, this holds of what is proved, which the witness checks.
        """
        route = self.route
        if route.misled:
            return
        for path, folder in route.trie().items():
            for name, record in folder.delivered.items():
                whole = join(path, name)
                if name in folder.in_flight or folder.carried_by:
                    continue
                if name == FOLDER_ITSELF:
                    is_there = (route.src / path).is_dir() and not (route.src / path).is_symlink()
                    if is_there and f"{path}/" not in route.assumed:
                        assert (route.dst / path).is_dir(), f"the empty folder {path} counts as delivered, and is not"
                elif self.seen(whole) == record.fingerprint != route.assumed.get(whole):
                    assert _content(route.dst / whole) == _content(route.src / whole), (
                        f"{whole} counts as delivered {record}, and the destination differs"
                    )

    def check_sent_once(self, tasks_before: set[str], edits_before: int) -> None:
        """Nothing was sent that Globus had carried well, and that nobody has touched since."""
        touched, world_tasks = self.route.tree.touched, self.route.world.tasks
        with Store(self.route.datastore) as store:
            for one in store.ledger.open.values():
                self._prepared.setdefault(one.submission_id, edits_before)
        open_ids = self._open_submissions()
        for path, sent in self._sent.items():
            if sent.settled_after is None and sent.task.submission.submission_id not in open_ids:
                self._sent[path] = sent._replace(settled_after=len(touched))
        for task in [task for task_id, task in world_tasks.items() if task_id not in tasks_before]:
            settled_after = None if task.submission.submission_id in open_ids else len(touched)
            for path in self._paths_of(task):
                seen = self.seen(path)
                if seen is None:
                    continue
                before = self._sent.get(path)
                if before is not None and before.seen == seen and self._was_well(before):
                    is_reason = self.route.tree.has_changed(path, before.after) or any(
                        self.route.tree.has_changed(other.rstrip("/"), before.after, before.settled_after)
                        for other in self.route.items_of(before.task)
                    )
                    assert is_reason, f"{path} {seen} was sent again in {task.label!r}, after {before.task.label!r}"
                after = self._prepared.get(task.submission.submission_id, edits_before)
                self._sent[path] = Sent(seen, task, after, settled_after)

    def check_accounted(self, summary: Summary, *, has_waited: bool) -> None:
        """After an undisturbed full scan, what differs is in flight, or was counted as held back or as an error."""
        if summary.errors:
            return
        trie = self.route.trie()
        held = [
            path
            for path in self.missing()
            if not _is_flying(trie, path, is_file=self.expected()[path] is not None)
            and not self._is_wrong_knowingly(trie, path)
        ]
        counted = summary.unsettled + summary.waiting + summary.backing_off + summary.retrying * has_waited
        assert len(held) <= counted, f"{held} differ and are not in flight, and only {counted} are counted as held back"

    def _is_wrong_knowingly(self, trie: dict[str, Folder], path: str) -> bool:
        """Whether a path differs that counts as delivered where Globus may be wrong: if it is proved, others object."""
        record = trie[split(path)[0]].delivered.get(split(path)[1]) if split(path)[0] in trie else None
        return bool(self.route.misled and record and record.fingerprint == self.seen(path))

    # --- what the destination must hold -----------------------------------------------------------------------------

    def seen(self, rel_path: str) -> Fingerprint | None:
        """The fingerprint of a file as the settings see it."""
        target = self.route.src / rel_path
        try:
            status = target.stat() if self.route.values["SYMLINKS"] == "follow" else target.lstat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None

    def expected(self) -> dict[str, bytes | None]:
        """Every file that can be sent with its content, and every folder that is empty to Globus with None."""
        wanted: dict[str, bytes | None] = {}
        todo = [""]
        while todo:
            folder = todo.pop()
            is_bare = True
            for name in sorted(os.listdir(self.route.src / folder)):
                path = join(folder, name)
                target = self.route.src / path
                if any(fnmatchcase(name, pattern) for pattern in self.route.values["EXCLUDE"]):
                    continue
                if target.is_dir() and not target.is_symlink():
                    todo.append(path)
                    is_bare = False
                elif self.seen(path) is not None:
                    wanted[path] = _content(target)
                    is_bare = False
                elif self.route.values["SYMLINKS"] == "follow" and not target.exists():
                    is_bare = False  # it cannot be followed: the folder is not sent as an empty one
            if is_bare and folder:
                wanted[folder] = None
        return wanted

    def missing(self, *, with_blocked: bool = True) -> list[str]:
        """What differs at the destination, and should not."""
        found = []
        for path, content in self.expected().items():
            key, seen = (path, self.seen(path)) if content is not None else (f"{path}/", (0, 0))
            if key in self.route.assumed and self.route.assumed[key] == seen:
                continue
            if not with_blocked and self._is_blocked(path, is_folder=content is None):
                continue
            target = self.route.dst / path
            if not target.is_dir() if content is None else _content(target) != content:
                found.append(path)
        return found

    # --- the end ----------------------------------------------------------------------------------------------------

    def come_to_rest(self) -> None:
        """No more edits, no more faults: the destination becomes equal, and then nothing more is sent."""
        route = self.route
        route.tell("all is left alone")
        world = route.world
        world.clear_faults()
        world.clear_outcomes()
        world.set_progress("immediate")
        for task in [task for task in world.tasks.values() if task.is_open]:
            world.change_task(task.task_id, pause=False, inactive=False)
        route.tree.lay_open()
        route.witness.see_source()
        route.values["SCAN"] = "full"  # a quick one does not see a file that was rewritten in place
        a_run = min(route.values["MAX_ITEMS_PER_TASK"] * route.values["MAX_TASKS_IN_FLIGHT"], 10_000)
        expected = self.expected()
        bound = RUNS_TO_EQUALITY + 2 * (len(expected) // a_run) + RUNS_TO_GIVE_UP * self._has_forgotten_tasks()
        if route.misled:
            self._compare_everything(2 * bound)
        blocked = sum(self._is_blocked(path, is_folder=content is None) for path, content in expected.items())
        if 2 * blocked < a_run:  # paths that cannot succeed take room in tasks from those that can
            self._run_until_equal(2 * bound, with_blocked=False)
        self._clear_the_way()
        self._run_until_equal(bound, with_blocked=True)
        route.pass_time(25 * HOUR_SECONDS)  # what was touched just now has settled, and no pause is longer than a day
        for _ in range(2):
            summary = self._undisturbed_run()
            if not (summary.submitted or self._open_submissions()):
                break
        summary = self._undisturbed_run()
        assert (summary.submitted, summary.changes, summary.waiting) == (0, 0, 0), "at rest, something is still sent"
        self._check_rest()
        if route.misled:
            self._check_proved()
        route.witness.check()

    def _compare_everything(self, most_runs: int) -> None:
        """What the manual says of copies that nobody has compared, and of files that were touched."""
        self.route.stop_misleading()
        for _ in range(most_runs):
            self.route.pass_time(25 * HOUR_SECONDS)
            self._undisturbed_run()
            self._clear_the_way()
            if not self._open_submissions():
                break
        self.route.set_time("", None, is_now=False)
        for _ in range(most_runs):
            if not (self._undisturbed_run().submitted or self._open_submissions()):
                break
            self._clear_the_way()

    def _run_until_equal(self, most_runs: int, *, with_blocked: bool) -> None:
        for runs in range(most_runs + 1):
            if not self.missing(with_blocked=with_blocked) and not (with_blocked and self._open_submissions()):
                self.most_runs = max(self.most_runs, runs)
                return
            if runs < most_runs:
                self.route.pass_time(25 * HOUR_SECONDS)
                self._undisturbed_run()
                if with_blocked:
                    self._clear_the_way()
        raise AssertionError(
            f"after {most_runs} runs still missing: {self.missing()}, open: {self._open_submissions()}"
        )

    def _undisturbed_run(self) -> Summary:
        summary = self.run()
        assert summary is not None, "a run that nothing disturbs did not come to its end"
        return summary

    def _check_rest(self) -> None:
        """At rest the records are exactly the tree."""
        wanted = {path + "/" * (content is None) for path, content in self.expected().items()}
        assert {path for path in self.route.delivered() if not self._is_kept(path)} == wanted
        on_disk = set(self.route.tree.folders())
        for path, folder in self.route.trie().items():
            assert not folder.in_flight, f"{path!r} still has {folder.in_flight}"
            left = {name for name in folder.retries if not self._is_kept(join(path, name))}
            assert not left, f"{path!r} still has {folder.retries}"
            assert not folder.carried_by, f"{path!r} is still carried by {folder.carried_by}"
            assert path in on_disk or self._is_kept(path), f"{path!r} is gone, and has a record {folder.pack()}"
            names = {split(each)[1] for each in on_disk if each and split(each)[0] == path}
            assert folder.folders <= names | {each for each in folder.folders if self._is_kept(join(path, each))}

    def _check_proved(self) -> None:
        """Since everything was compared, everything is proved."""
        for path, folder in self.route.trie().items():
            weak = [name for name, record in folder.delivered.items() if record.evidence not in PROVED]
            assert all(self._is_kept(join(path, name)) for name in weak), f"{path!r} has {folder.delivered}"

    def _is_kept(self, path: str) -> bool:
        """Whether records stay although the scan does not see the path: left out, or a link that cannot be followed."""
        parts = path.rstrip("/").split("/")
        above = [self.route.src.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
        is_excluded = any(fnmatchcase(part, pattern) for part in parts for pattern in self.route.values["EXCLUDE"])
        return is_excluded or any(each.is_symlink() and not each.exists() for each in above)

    # --- paths whose kind changed: the destination is in the way ----------------------------------------------------

    def _is_blocked(self, path: str, *, is_folder: bool) -> bool:
        """Whether the destination has a file where the path needs a folder, or a folder where it needs a file."""
        while path:
            target = self.route.dst / path
            if os.path.lexists(target) and target.is_dir() is not is_folder:
                return True
            path, is_folder = split(path)[0], True
        return False

    def _clear_the_way(self) -> None:
        """What a person does when told that the destination has another kind there: remove it."""
        for path, content in self.expected().items():
            parts = path.split("/")
            for depth in range(1, len(parts) + 1):
                target = self.route.dst.joinpath(*parts[:depth])
                wants_folder = content is None or depth < len(parts)
                if os.path.lexists(target) and target.is_dir() is not wants_folder:
                    self.route.tell(f"remove {target.relative_to(self.route.dst)} at the destination")
                    for each in (*sorted(target.rglob("*"), reverse=True), target):
                        each.rmdir() if each.is_dir() else each.unlink()

    # --- tasks ------------------------------------------------------------------------------------------------------

    def _open_submissions(self) -> set[str]:
        """The submission_ids of the tasks that are open in the ledger, acknowledged or not."""
        with Store(self.route.datastore) as store:
            return {task.submission_id for task in store.ledger.open.values()}

    def _has_forgotten_tasks(self) -> bool:
        with Store(self.route.datastore) as store:
            return any(task.task_id not in self.route.world.tasks for task in store.ledger.at_globus)

    def _paths_of(self, task: Task) -> set[str]:
        """The files that a task carries, folders walked."""
        paths: set[str] = set()
        for item in self.route.items_of(task):
            if not item.endswith("/"):
                paths.add(item)
                continue
            for folder, _, names in os.walk(self.route.src / item):
                paths.update(os.path.relpath(os.path.join(folder, name), self.route.src) for name in names)
        return {path for path in paths if not self._is_kept(path)}

    def _was_well(self, sent: Sent) -> bool:
        """Whether a task succeeded, left nothing out, and was known to the end, with its lists."""
        task = sent.task
        is_known = task.task_id in self.route.world.tasks and sent.settled_after is not None
        was_right = not (task.history_deleted or self.route.is_misled(task))
        return is_known and was_right and task.status == "SUCCEEDED" and not task.subtasks_skipped_errors


def _is_flying(trie: dict[str, Folder], path: str, *, is_file: bool) -> bool:
    """Whether a task carries the path; a folder without a record has its cover from the nearest one above."""
    above, name = split(path) if is_file else (path, FOLDER_ITSELF)
    if above in trie and name in trie[above].in_flight:
        return True
    while above not in trie and above:
        above = split(above)[0]
    return above in trie and bool(trie[above].carried_by)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
