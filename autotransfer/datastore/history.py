"""The tasks that ended: the latest are kept whole, and of the others, packed in blocks, what records refer to.

Keys: "task N" for each that is kept whole, "ended K" for a block of those before, HISTORY (how many of each).
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import groupby, islice
from operator import attrgetter
from typing import NamedTuple

from autotransfer.common.paths import display
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore import pickles
from autotransfer.datastore.shelf import Shelf
from autotransfer.datastore.tasks import SUCCEEDED, AnyTask, EndedTask, Task, find_task, pack_tasks, unpack_tasks
from autotransfer.datastore.trie import PathTrie

MOST_DIGITS = 10

# How many of the latest ended tasks are kept whole, and how many of those before them that failed recently. The others
# are packed, this many or more at a time, in blocks of as many numbers.
KEPT_WHOLE = 1_000
FAILED_LATELY_NS = 90 * DAY * NS_PER_SECOND

# Packed tasks that no record names are dropped once there are this many packed ones, and again when there are twice as
# many as were left.
SWEPT_FROM = 10_000


class _Counts(NamedTuple):
    """How many ended tasks are kept whole, how many packed, and how many of these the last sweep left."""

    whole: int
    packed: int
    packed_after_sweep: int


class History:
    """The ended tasks on a shelf.

    Args:
        trie: The records on the same shelf; a packed task is kept while one of them names it.
    """

    def __init__(self, shelf: Shelf, trie: PathTrie) -> None:
        self._shelf = shelf
        self._trie = trie

    def archive(self, task: Task) -> None:
        """Keep a task that ended; pack and drop older ones when there are many."""
        counts = self._counts
        counts = counts._replace(whole=counts.whole + 1)
        self._shelf[f"task {task.number}"] = task._asdict()
        if counts.whole >= 3 * KEPT_WHOLE:
            counts = self._pack_old(counts, now_ns=task.ended_at_ns)
        self._counts = counts

    def task(self, number: int) -> AnyTask | None:
        """The ended task with this number: whole when it ended lately, else what is kept of it, or None."""
        fields = self._shelf.get(f"task {number}")
        if fields is not None:
            return Task(**fields)
        packed = self._shelf.get(f"ended {number // KEPT_WHOLE}")
        return None if packed is None else find_task(packed, number)

    def tasks(self, *, limit: int | None = None) -> Iterator[AnyTask]:
        """The ended tasks from the highest number down, at most `limit` of them.

        The latest 1,000 or more are Tasks, and so are up to 1,000 before them that failed within 90 days. Of the others
        those are left, as EndedTasks, that a path's record names, or named when the last sweep was made.
        """
        whole = (Task(**self._shelf[f"task {number}"]) for number in self._numbers("task "))
        packed = (task for block in self._numbers("ended ") for task in reversed(self._packed(block)))
        return islice(merge(whole, packed, key=attrgetter("number"), reverse=True), limit)

    def _numbers(self, prefix: str) -> list[int]:
        """The numbers in the keys with this prefix, the highest first."""
        return sorted(map(_number_in, self._shelf.keys_below(prefix)), reverse=True)

    def _packed(self, block: int) -> list[EndedTask]:
        value = self._shelf.get(f"ended {block}")
        return [] if value is None else unpack_tasks(value)

    @property
    def _counts(self) -> _Counts:
        kept = self._shelf.get("HISTORY")
        if kept is None:  # an earlier version kept all of them whole
            return _Counts(len(self._numbers("task ")), 0, 0)
        return _Counts(*kept)

    @_counts.setter
    def _counts(self, counts: _Counts) -> None:
        self._shelf["HISTORY"] = tuple(counts)

    def _pack_old(self, counts: _Counts, *, now_ns: int) -> _Counts:
        numbers = self._numbers("task ")
        old, kept_failed = [], 0
        for number in numbers[KEPT_WHOLE:]:
            task = Task(**self._shelf[f"task {number}"])
            is_new_failure = task.state != SUCCEEDED and now_ns - task.ended_at_ns < FAILED_LATELY_NS
            if is_new_failure and kept_failed < KEPT_WHOLE:
                kept_failed += 1
            else:
                old.append(task)
        for block, tasks in groupby(reversed(old), key=lambda task: task.number // KEPT_WHOLE):
            self._put_packed(block, [*self._packed(block), *tasks])
        for task in old:
            del self._shelf[f"task {task.number}"]
        packed, after_sweep = counts.packed + len(old), counts.packed_after_sweep
        if packed >= max(SWEPT_FROM, 2 * after_sweep):
            packed = after_sweep = self._drop_unnamed()
        return _Counts(len(numbers) - len(old), packed, after_sweep)

    def _put_packed(self, block: int, tasks: list[AnyTask]) -> None:
        if tasks:
            self._shelf[f"ended {block}"] = pack_tasks(tasks)
        else:
            self._shelf.pop(f"ended {block}", None)

    def _drop_unnamed(self) -> int:
        """Drop the packed tasks that no path's record names; returns how many are left."""
        named: set[int] = set()
        for rel_path in self._trie.below(""):
            folder = self._trie.folder(rel_path)
            for records in (folder.delivered, folder.retries):
                named.update(record.task for record in records.values())
        left = 0
        for block in self._numbers("ended "):
            tasks = [task for task in self._packed(block) if task.number in named]
            self._put_packed(block, list(tasks))
            left += len(tasks)
        return left


def _number_in(key: str) -> int:
    """The number in a key such as `task 7`."""
    digits = key.partition(" ")[2]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS):
        raise pickles.DamagedValue(f"its key {display(key)} has no number")
    return int(digits)
