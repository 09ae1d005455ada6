"""The state of the world as one JSON document, for tests. Ours: no service has it."""

from __future__ import annotations

import dataclasses
from typing import Any

from .clock import iso
from .timers.documents import timer_state
from .transfer.collection import Collection
from .transfer.task import Task
from .world import World

_COUNTERS = [
    "faults",
    "files",
    "directories",
    "symlinks",
    "files_transferred",
    "files_skipped",
    "bytes_transferred",
    "bytes_checksummed",
    "subtasks_total",
    "subtasks_succeeded",
    "subtasks_failed",
    "subtasks_canceled",
    "subtasks_expired",
    "subtasks_skipped_errors",
]


def world_state(world: World) -> dict[str, Any]:
    """The world as it is now, in one document: tasks, conflicts, collections, timers."""
    with world.lock:
        world.advance()
        return _state(world)


def _state(world: World) -> dict[str, Any]:
    details = [
        {"path": conflict.path, "task_ids": list(conflict.task_ids), "at": iso(conflict.at)}
        for conflict in world.conflicts
    ]
    return {
        "now": iso(world.clock.now()),
        "progress": str(world.queue.progress),
        "tasks": [task_state(task) for task in world.tasks.values()],
        "conflicts": [conflict.path for conflict in world.conflicts],
        "conflict_details": details,
        "collections": [collection_state(collection) for collection in world.collections.values()],
        "timers": [timer_state(timer, world.timers) for timer in world.timers.timers.values()],
    }


def task_state(task: Task) -> dict[str, Any]:
    """A task as tests want to see it, with the document that was submitted."""
    return {
        "task_id": task.task_id,
        "submission_id": task.submission.submission_id,
        "type": task.kind,
        "label": task.label,
        "status": task.status,
        "owner_id": task.owner_id,
        "is_queued": task.is_queued,
        "is_paused": task.is_paused,
        "nice_status": task.nice_status if task.is_open else None,
        "fatal_error": None if task.fatal_error is None else task.fatal_error[0],
        "request_time": iso(task.request_time),
        "completion_time": iso(task.completion_time),
        "deadline": iso(task.deadline),
        "document": task.submission.document,
        **{name: getattr(task, name) for name in _COUNTERS},
    }


def collection_state(collection: Collection) -> dict[str, Any]:
    """A collection, all fields."""
    return {**dataclasses.asdict(collection), "root": str(collection.root)}
