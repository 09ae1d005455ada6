"""Changes to transfer documents within limits: whole folders as one item, the rest file by file. Pure."""

from __future__ import annotations

from typing import NamedTuple

from autotransfer.plan.whole_folders import Item


class Batch(NamedTuple):
    """The items of one task to be."""

    number: int
    sync_level: str
    has_failed: bool
    items: list[Item]

    @property
    def files(self) -> int:
        return sum(item.files for item in self.items)

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)


class Batcher:
    """Deals items out to at most `max_tasks` tasks of at most `max_items` items, one sync level a task.

    What has failed before travels apart, in at most `max_failed_tasks` of them: it may fail again, and hold up neither
    the task nor the room of what is well.
    """

    def __init__(self, *, first_number: int, max_items: int, max_tasks: int, max_failed_tasks: int) -> None:
        self._next_number = first_number
        self._max_items = max_items
        self._room = max_tasks
        self._failed_room = max_failed_tasks
        self._filling: dict[tuple[str, bool], Batch] = {}

    def number_for(self, sync_level: str) -> int:
        """The number that an item of this kind, which has not failed before, would get now; 0 when there is no room."""
        batch = self._filling.get((sync_level, False))
        if batch is not None:
            return batch.number
        return self._next_number if self._room > 0 else 0

    def take(self, item: Item) -> tuple[int, Batch | None]:
        """The number of the task that carries the item, 0 when no task has room; and a batch that is now full."""
        kind = (item.sync_level, item.has_failed)
        batch = self._filling.get(kind)
        if batch is None:
            if self._room <= 0 or (item.has_failed and self._failed_room <= 0):
                return 0, None
            self._room -= 1
            self._failed_room -= item.has_failed
            batch = self._filling[kind] = Batch(self._next_number, *kind, [])
            self._next_number += 1
        batch.items.append(item)
        if len(batch.items) < self._max_items:
            return batch.number, None
        return batch.number, self._filling.pop(kind)

    def rest(self) -> list[Batch]:
        """The batches that did not become full, in the order of their numbers."""
        return sorted(self._filling.values())
