"""Deals items out to tasks within the limits. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from autotransfer.datastore.tasks import Item


class Batch(NamedTuple):
    """A task that is planned: its items have been handed over, and only these totals are kept."""

    number: int
    sync_level: str
    has_failed: bool
    failing: int
    items: int
    files: int
    size_bytes: int
    has_folders: bool


class Batcher:
    """Deals items out to at most `max_tasks` tasks of at most `max_items` items, with one sync level per task.

    What has failed before gets tasks of its own, at most `max_failed_tasks` of these: it may fail again, and must
    neither delay other files nor use up their tasks.

    Args:
        put_items: Called with the number and the items of each task once that is complete.
    """

    def __init__(
        self,
        put_items: Callable[[int, list[Item]], None],
        *,
        first_number: int,
        max_items: int,
        max_tasks: int,
        max_failed_tasks: int,
    ) -> None:
        self._put_items = put_items
        self._next_number = first_number
        self._max_items = max_items
        self._tasks_left = max_tasks
        self._failed_tasks_left = max_failed_tasks
        self._open: dict[tuple[str, bool], tuple[int, list[Item]]] = {}
        self._batches: list[Batch] = []

    def add(self, item: Item) -> int:
        """Returns the number of the task that carries the item; 0 when no task can."""
        kind = (item.sync_level, item.attempts > 0)
        if kind not in self._open:
            if self._tasks_left <= 0 or (item.attempts and self._failed_tasks_left <= 0):
                return 0
            self._tasks_left -= 1
            self._failed_tasks_left -= item.attempts > 0
            self._open[kind] = (self._next_number, [])
            self._next_number += 1
        number, items = self._open[kind]
        items.append(item)
        if len(items) == self._max_items:
            self._close(kind)
        return number

    def finish(self) -> list[Batch]:
        """Returns all batches, in the order of their numbers."""
        for kind in list(self._open):
            self._close(kind)
        return sorted(self._batches)

    def _close(self, kind: tuple[str, bool]) -> None:
        number, items = self._open.pop(kind)
        self._put_items(number, items)
        self._batches.append(
            Batch(
                number,
                *kind,
                sum(item.attempts > 1 for item in items),
                len(items),
                sum(item.files for item in items),
                sum(item.size_bytes for item in items),
                any(item.is_folder for item in items),
            )
        )
