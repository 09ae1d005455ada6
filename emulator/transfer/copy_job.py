"""A transfer, step by step: items, recursion, filter rules, faults, retries."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from emulator.clock import Clock

from . import copying, filters
from .collection import Collection, decode_name
from .copying import ItemFault, Permissions, fault_of
from .delete_job import remove_extra, remove_tree
from .destination import Destination
from .long_paths import LongPaths
from .node_view import NodeView
from .outcome_rules import OutcomeRule, OutcomeRules
from .submission import Item
from .task import Arrival, SkippedError, Task

STALLED = -1  # a step's cost when nothing can go on before something changes

# What skip_source_errors skips (documented), and names that cannot be sent (assumed).
_SKIPPABLE = {"PERMISSION_DENIED", "FILE_NOT_FOUND", "AMBIGUOUS_PATH", "INVALID_PATH_NAME"}
_FATAL = {"EXTERNAL_CHECKSUM_MISMATCH"}

# The sync levels that compare no contents.
_WITHOUT_CONTENT = (0, 1, 2)

ROOT, FILE, DIRECTORY = "root", "file", "directory"


@dataclass(frozen=True)
class JobContext:
    """The parts of the world that a job needs.

    `apply_rule` does to the task what a rule says; `fail` ends the task with a fatal code.
    """

    clock: Clock
    rules: OutcomeRules
    source: Collection
    destination: Collection
    view: NodeView
    apply_rule: Callable[[Task, OutcomeRule], None]
    fail: Callable[[Task, str], None]


class _Unit(NamedTuple):
    """A path to deal with. `below` is the text of the path below its item, `source` and `destination` are local."""

    kind: str
    item: int
    below: str
    source: bytes
    destination: bytes


class CopyJob:
    """The work on one transfer. `steps` does it, and yields the cost of each step: one a path, and one a byte."""

    def __init__(self, task: Task, context: JobContext) -> None:
        self._task = task
        self._context = context
        self._items = task.submission.items
        self._flags = task.submission.flags
        self._permissions = Permissions()
        self._destination = Destination(context.destination)
        self._long_paths = LongPaths()
        self._stalled: list[_Unit] = []
        self._pending: list[_Unit] = []
        self._corrupted: set[tuple[int, str]] = set()
        self._trees: dict[int, _Unit] = {}
        self._items_with_skips: set[int] = set()

    def steps(self) -> Iterator[int]:
        """Do the work. After STALLED the caller resumes when it wants the failed paths tried again."""
        try:
            yield from self._steps()
        finally:
            self._long_paths.close()

    def _steps(self) -> Iterator[int]:
        task = self._task
        task.subtasks_total = len(self._items)
        for index, item in enumerate(self._items):
            source = self._seen(self._context.source.local_path(item.source_path), item.source_path)
            destination = self._long_paths(self._context.destination.local_path(item.destination_path))
            yield from self._attempt(_Unit(ROOT, index, "", source, destination))
        while self._stalled:
            yield STALLED
            self._permissions = Permissions()
            self._destination = Destination(self._context.destination)
            again, self._stalled = self._stalled, []
            for unit in again:
                yield from self._attempt(unit)
            if not self._stalled:
                task.nice_status = "OK"
        if self._flags["delete_destination_extra"]:
            yield from self._remove_extra()
        rule = self._context.rules.take_for_end(task.task_id, task.label, task.files_done)
        if rule is not None:
            self._context.apply_rule(task, rule)
            yield STALLED

    def measure(self) -> int:
        """The cost of all steps, as far as it can be seen now."""
        total = 0
        for item in self._items:
            local = self._context.source.local_path(item.source_path)
            if not os.path.isdir(local):
                total += 1 + copying.size_bytes(local)
                continue
            for directory, folders, names in os.walk(local):
                kept = [name for name in folders if self._is_wanted(name, "dir")]
                folders[:] = kept
                total += 1
                wanted = (name for name in names if self._is_wanted(name, "file"))
                total += sum(1 + copying.size_bytes(os.path.join(directory, name)) for name in wanted)
        return total

    # --- units ------------------------------------------------------------------------------------------------------

    def _attempt(self, unit: _Unit) -> Iterator[int]:
        """Deal with a unit and with the directories it leads to, one after the other."""
        yield from self._attempt_one(unit)
        while self._pending:
            yield from self._attempt_one(self._pending.pop())

    def _attempt_one(self, unit: _Unit) -> Iterator[int]:
        deal = {ROOT: self._root, FILE: self._file, DIRECTORY: self._directory}[unit.kind]
        # Not before: what was copied a moment ago may have its name.
        unit = unit._replace(destination=self._context.destination.stored(unit.destination))
        try:
            yield from deal(unit)
        except ItemFault as fault:
            yield from self._take_fault(unit, fault)
        except OSError as error:
            yield from self._take_fault(unit, fault_of(error, is_at_source=False))

    def _take_fault(self, unit: _Unit, fault: ItemFault) -> Iterator[int]:
        task = self._task
        if self._flags["skip_source_errors"] and fault.is_at_source and fault.code in _SKIPPABLE:
            self._skip(unit, fault.code, fault.details)
            return
        task.record_fault(fault.code, self._details(unit, fault), self._context.clock.now())
        is_fatal_quota = fault.code == "QUOTA_EXCEEDED" and self._flags["fail_on_quota_errors"]
        if is_fatal_quota or fault.code in _FATAL:
            self._context.fail(task, fault.code)
            yield STALLED
        else:
            self._stalled.append(unit)

    def _skip(self, unit: _Unit, code: str, details: str) -> None:
        task = self._task
        task.subtasks_skipped_errors += 1
        task.subtasks_succeeded += self._weight(unit) - 1
        self._items_with_skips.add(unit.item)
        source_path, destination_path = self._paths(unit)
        now = self._context.clock.now()
        task.skipped.append(SkippedError(source_path, destination_path, code, details, now, unit.kind == DIRECTORY))

    def _root(self, unit: _Unit) -> Iterator[int]:
        item = self._items[unit.item]
        keeps_links = self._task.submission.recursive_symlinks == "keep"
        if item.is_symlink or keeps_links or self._flags["delete_destination_extra"]:
            self._destination.check_may_write()  # all else asks before each change
        self._permissions.check_searchable(unit.source, is_at_source=True)
        if item.is_symlink:
            yield from self._link(unit)
            return
        try:
            status = os.stat(unit.source)  # a symlink at the root is followed
        except OSError as error:
            yield from self._rules_for_missing(unit)
            raise fault_of(error, is_at_source=True) from None
        is_directory = stat.S_ISDIR(status.st_mode)
        if is_directory and item.recursive is False:
            raise ItemFault("IS_A_DIRECTORY", "The item is a directory and not recursive", is_at_source=True)
        if not is_directory and item.recursive is True:
            raise ItemFault("NOT_A_DIRECTORY", "The item is recursive and not a directory", is_at_source=True)
        self._destination.make_parents(unit.destination)
        if is_directory:
            self._task.subtasks_succeeded += 1
            tree = unit._replace(kind=DIRECTORY)
            self._trees[unit.item] = tree
            self._discover_directory(tree)
        elif stat.S_ISREG(status.st_mode):
            self._task.files += 1
            self._task.subtasks_succeeded += 1
            self._task.subtasks_total += 1
            yield from self._attempt_one(unit._replace(kind=FILE))
        else:
            raise ItemFault("NOT_A_FILE", "The item is neither a file nor a directory", is_at_source=True)

    def _rules_for_missing(self, unit: _Unit) -> Iterator[int]:
        """Apply the rules to a missing file as to any other."""
        rule = self._take_rule(unit)
        if rule is not None and rule.outcome == "skip":
            raise ItemFault(rule.code, "Skipped on demand", is_at_source=True)
        if rule is not None and rule.outcome not in ("stall", "corrupt", "current"):
            self._context.apply_rule(self._task, rule)
            yield STALLED

    def _directory(self, unit: _Unit) -> Iterator[int]:
        self._remove_other_type(unit, is_directory=True)
        try:
            status = os.stat(unit.source)
            self._permissions.check_readable(unit.source, status)
            names = sorted(os.listdir(unit.source))
        except OSError as error:
            raise fault_of(error, is_at_source=True) from None
        self._destination.make_directory(unit.destination)
        self._task.subtasks_succeeded += 1
        yield 1
        folders = []
        for name in names:
            child = self._child(unit, name)
            if child is None:
                continue
            if child.kind == DIRECTORY:
                folders.append(child)
            else:
                self._task.files += 1
                self._task.subtasks_total += 2
                yield from self._attempt_one(child)
        for child in reversed(folders):
            self._discover_directory(child)

    def _discover_directory(self, unit: _Unit) -> None:
        self._task.directories += 1
        self._task.subtasks_total += 1
        self._pending.append(unit)

    def _child(self, parent: _Unit, name: bytes) -> _Unit | None:
        """The unit for a directory entry met in recursion; None when it is skipped. Special files are never opened."""
        below = decode_name(name) if not parent.below else f"{parent.below}/{decode_name(name)}"
        local = os.path.join(parent.source, name)
        source = self._seen(local, item_paths(self._items[parent.item], below)[0])
        if self._context.view.is_hidden(local):
            return None
        try:
            mode = os.lstat(source).st_mode
            if stat.S_ISLNK(mode):
                mode = self._mode_behind_link(parent, name, source)
        except OSError:
            mode = stat.S_IFREG  # gone since the listing: dealing with it will say so
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            return None
        kind = DIRECTORY if stat.S_ISDIR(mode) else FILE
        if not self._is_wanted(name, "dir" if kind == DIRECTORY else "file"):
            return None
        return _Unit(kind, parent.item, below, source, self._long_paths(os.path.join(parent.destination, name)))

    def _mode_behind_link(self, parent: _Unit, name: bytes, source: bytes) -> int:
        """The mode to go by for a symlink met in recursion: 0 leaves it out (the default, "ignore")."""
        policy = self._task.submission.recursive_symlinks
        if policy == "copy":
            return os.stat(source).st_mode
        if policy == "keep":
            destination = os.path.join(parent.destination, name)
            if os.path.lexists(destination):
                os.unlink(destination)
            os.symlink(os.readlink(source), destination)
            self._task.symlinks += 1
        return 0

    def _is_wanted(self, name: bytes, kind: str) -> bool:
        """Whether the filter rules let a name in: the first that matches decides (documented)."""
        return self._is_wanted_name(decode_name(name), kind)

    def _is_wanted_name(self, name: str, kind: str) -> bool:
        return filters.is_wanted(self._task.submission.filter_rules, name, kind)

    def _link(self, unit: _Unit) -> Iterator[int]:
        try:
            text = os.readlink(unit.source)
        except OSError as error:
            code = "FILE_NOT_FOUND" if isinstance(error, FileNotFoundError) else "NOT_A_SYMLINK"
            raise ItemFault(code, error.strerror or "", is_at_source=True) from None
        self._destination.make_parents(unit.destination)
        try:
            if os.path.islink(unit.destination):
                os.unlink(unit.destination)
            os.symlink(text, unit.destination)
        except OSError as error:
            raise fault_of(error, is_at_source=False) from None
        self._task.symlinks += 1
        self._task.subtasks_succeeded += 1
        yield 1

    # --- one file ---------------------------------------------------------------------------------------------------

    def _file(self, unit: _Unit) -> Iterator[int]:
        rule = self._take_rule(unit)
        if rule is not None and rule.outcome == "skip":
            self._skip(unit, rule.code, "Skipped on demand")
            return
        if rule is not None and rule.outcome == "stall":
            raise ItemFault(rule.code, "Faulted on demand", is_at_source=False)
        if rule is not None and rule.outcome not in ("corrupt", "half", "current"):
            self._context.apply_rule(self._task, rule)
            yield STALLED
        name = os.path.basename(unit.source)
        if unit.below and not _is_sendable(name):
            raise ItemFault("INVALID_PATH_NAME", f"Name cannot be sent: {name!r}", is_at_source=True)
        try:
            status = os.stat(unit.source)
        except OSError as error:
            raise fault_of(error, is_at_source=True) from None
        self._permissions.check_readable(unit.source, status)
        self._remove_other_type(unit, is_directory=False)
        if not self._must_copy(unit, status, is_taken=rule is not None and rule.outcome == "current"):
            self._task.files_skipped += 1
            self._task.subtasks_succeeded += self._weight(unit)
            yield 1 + status.st_size
            return
        self._destination.check_file(unit.destination, status)
        if rule is not None and rule.outcome == "half":
            for count in copying.copy_bytes(unit.source, unit.destination, status.st_size // 2):
                self._task.bytes_transferred += count
                yield count
            self._context.apply_rule(self._task, rule)
            yield STALLED
        copied_bytes, checksum = yield from self._copy(
            unit, status, is_corrupt=rule is not None and rule.outcome == "corrupt"
        )
        self._task.files_transferred += 1
        self._task.subtasks_succeeded += self._weight(unit)
        self._task.arrivals.append(Arrival(unit.item, unit.below, copied_bytes, checksum))
        yield 1

    def _copy(
        self, unit: _Unit, status: os.stat_result, *, is_corrupt: bool
    ) -> Generator[int, None, tuple[int, str | None]]:
        """Copy, and compare if that is wanted; ends with the bytes of the last try, and their checksum or None."""
        key = (unit.item, unit.below)
        for is_last_try in (False, True):
            copied_bytes = 0
            steps = copying.copy_bytes(unit.source, unit.destination)
            for count in steps:
                copied_bytes += count
                self._task.bytes_transferred += count
                yield count
            self._destination.note_written(copied_bytes)
            if is_corrupt and key not in self._corrupted:
                self._corrupted.add(key)
                copying.flip_a_byte(unit.destination)
            if self._flags["preserve_timestamp"] and self._context.destination.keeps_times:
                copying.keep_timestamp(status, unit.destination)
            self._check_external(unit)
            if not self._verifies():
                return copied_bytes, None
            self._task.bytes_checksummed += copied_bytes
            is_same, checksum = copying.compare_content(unit.source, unit.destination)
            if is_same:
                return copied_bytes, checksum
            fault = ItemFault("VERIFY_CHECKSUM", "Checksums of source and destination differ", is_at_source=False)
            if is_last_try:
                raise fault
            self._task.record_fault(fault.code, self._details(unit, fault), self._context.clock.now())
            self._task.nice_status = "OK"
        raise AssertionError("the last try ends above")

    def _check_external(self, unit: _Unit) -> None:
        item = self._items[unit.item]
        if item.external_checksum is None:
            return
        try:
            found = copying.checksum(unit.destination, item.checksum_algorithm or "md5")
        except ValueError:
            found = ""
        if found != item.external_checksum.lower():
            raise ItemFault("EXTERNAL_CHECKSUM_MISMATCH", "The given checksum does not match", is_at_source=False)

    def _must_copy(self, unit: _Unit, status: os.stat_result, *, is_taken: bool) -> bool:
        level = self._task.submission.sync_level
        must_copy = copying.must_copy(level, status, unit.destination)
        if must_copy is None:
            self._task.bytes_checksummed += status.st_size
            return not copying.compare_content(unit.source, unit.destination)[0]
        return must_copy and not (is_taken and level in _WITHOUT_CONTENT and os.path.isfile(unit.destination))

    def _verifies(self) -> bool:
        sides = (self._context.source, self._context.destination)
        return bool(self._flags["verify_checksum"]) and not any(side.disable_verify for side in sides)

    def _seen(self, local: bytes, source_path: str) -> bytes:
        """Where to read what the transfer node sees of a source path."""
        if self._context.view.is_older(local):
            self._task.read_older.add(source_path)
        return self._long_paths(self._context.view.seen(local))

    def _take_rule(self, unit: _Unit) -> OutcomeRule | None:
        task = self._task
        return self._context.rules.take_for_file(task.task_id, task.label, self._paths(unit)[0], task.files_done)

    def _remove_other_type(self, unit: _Unit, *, is_directory: bool) -> None:
        """With delete_destination_extra, what is of another type is removed (documented)."""
        if not self._flags["delete_destination_extra"] or not unit.below or not os.path.lexists(unit.destination):
            return
        if os.path.isdir(unit.destination) != is_directory:
            remove_tree(unit.destination)

    def _remove_extra(self) -> Iterator[int]:
        for index, tree in self._trees.items():
            if index in self._items_with_skips:
                details = "Errors at the source were skipped"
                self._task.record_event("DELETE_DESTINATION_EXTRA_SKIPPED", details, self._context.clock.now())
                continue
            while True:
                try:
                    for _ in remove_extra(tree.source, tree.destination, self._is_wanted_name):
                        yield 1
                    break
                except OSError as error:
                    fault = fault_of(error, is_at_source=False)
                    self._task.record_fault(fault.code, self._details(tree, fault), self._context.clock.now())
                yield STALLED

    # --- words ------------------------------------------------------------------------------------------------------

    def _weight(self, unit: _Unit) -> int:
        """The subtasks a unit stands for: a file met in recursion counts twice (recorded: n files, about 2n)."""
        return 2 if unit.kind == FILE and unit.below else 1

    def _paths(self, unit: _Unit) -> tuple[str, str]:
        return item_paths(self._items[unit.item], unit.below)

    def _details(self, unit: _Unit, fault: ItemFault) -> str:
        """A fault in the form events have (observed)."""
        side = self._context.source if fault.is_at_source else self._context.destination
        path = self._paths(unit)[0 if fault.is_at_source else 1]
        return f"Error (transfer)\nEndpoint: {side.title}\nFile: {path}\nMessage: {fault.details}\n---\n"


def item_paths(item: Item, below: str) -> tuple[str, str]:
    """The source and destination paths of what lies below an item."""
    if not below:
        return item.source_path, item.destination_path
    return f"{item.source_path.rstrip('/')}/{below}", f"{item.destination_path.rstrip('/')}/{below}"


def _is_sendable(name: bytes) -> bool:
    try:
        return b"\r\n" not in name and name.decode("utf-8") is not None
    except UnicodeDecodeError:
        return False
