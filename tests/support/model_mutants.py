"""Faults put into the rules by which ended tasks are credited, each of which the model's witness must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from model import play
from model_oracle import Oracle
from model_witness import Unproved

from autotransfer.common.paths import split
from autotransfer.datastore.evidence import EQUAL
from autotransfer.datastore.tasks import SUCCEEDED, Reading, Task
from autotransfer.status import path
from autotransfer.transfer import credit, ended, results
from autotransfer.transfer.results import Carried, Decide, Fate
from autotransfer.transfer.task_status import Counts

Mutant = Callable[[], Any]


@contextmanager
def sizes_ignored() -> Iterator[None]:
    """The sizes in the rows, and the sum of bytes, prove nothing wrong; nor does what is known of the copy's size."""
    mark_listed = results.TaskResult.mark_listed

    def marked(self: results.TaskResult, listed: Mapping[str, int | None], evidence: int) -> Any:
        return mark_listed(self, {rel_path: recorded(self, rel_path) for rel_path in listed}, evidence)

    def recorded(result: results.TaskResult, rel_path: str) -> int:
        folder_path, name = split(rel_path)
        folder = result._trie.folder(folder_path)
        return (folder.in_flight.get(name) or folder.delivered[name]).size_bytes

    def unsized_fate(task: Task, reading: Reading) -> Fate:
        return credit.copied_evidence(task)

    def is_proved(task: Task, items: Any, state: str, counts: Counts) -> bool:
        return proved(task._replace(size_bytes=counts.size_bytes), items, state, counts)

    proved = credit.is_proved
    with (
        mock.patch.object(results.TaskResult, "mark_listed", marked),
        mock.patch.object(ended, "unsized_fate", unsized_fate),
        mock.patch.object(ended, "is_proved", is_proved),
    ):
        yield


@contextmanager
def counts_ignored() -> Iterator[None]:
    """That a task of files succeeded is enough."""

    def is_proved(task: Task, items: Any, state: str, counts: Counts) -> bool:
        return state == SUCCEEDED and not any(item.is_folder for item in items)

    with mock.patch.object(ended, "is_proved", is_proved):
        yield


@contextmanager
def unmatched_rows_ignored() -> Iterator[None]:
    """Skipped rows that match nothing are left out of account, and whatever is not listed was equal."""

    def rest_decider(task: Task, reading: Reading, *, is_list_whole: bool) -> Decide:
        counts = Counts(*reading.counts)
        current = reading.carried - reading.listed - reading.errors
        counts = counts._replace(errors=reading.errors, current=current)
        return decider(task, reading._replace(counts=tuple(counts)), is_list_whole=is_list_whole)

    decider = credit.rest_decider
    with mock.patch.object(ended, "rest_decider", rest_decider):
        yield


@contextmanager
def modifications_taken_for_current() -> Iterator[None]:
    """A modification that Globus took for current counts as equal, whatever the sync level."""

    def current_fate(carried: Carried, sync_level: str) -> Fate:
        return EQUAL

    with mock.patch.object(credit, "_current_fate", current_fate):
        yield


@contextmanager
def changes_under_way_ignored() -> Iterator[None]:
    """What a path is when its task has ended is not checked."""
    close_name = results.TaskResult._close_name

    def closed(self: results.TaskResult, folder: Any, folder_path: str, name: str, *rest: Any, **more: Any) -> Any:
        flying = folder.in_flight.get(name)
        seen = flying and (flying.fingerprint, flying.ctime_lag_ns)
        with mock.patch.object(self, "_recheck", lambda *_: seen):
            return close_name(self, folder, folder_path, name, *rest, **more)

    with mock.patch.object(results.TaskResult, "_close_name", closed):
        yield


@contextmanager
def times_put_back_ignored() -> Iterator[None]:
    """A ctime that has moved says nothing."""
    with mock.patch.object(path, "has_moved", lambda *_: False):
        yield


MUTANTS: tuple[Mutant, ...] = (
    sizes_ignored,
    counts_ignored,
    unmatched_rows_ignored,
    modifications_taken_for_current,
    changes_under_way_ignored,
    times_put_back_ignored,
)

MOST_EXAMPLES, STEPS = 60, 50


def noticed(mutant: Mutant, seed: int) -> str:
    """What the witness alone says of a faulty tool within MOST_EXAMPLES; "" if it notices nothing."""
    judged_by_others = ("check_open_tasks", "check_delivered", "check_sent_once", "check_accounted", "come_to_rest")
    with ExitStack() as stack:
        for name in judged_by_others:
            stack.enter_context(mock.patch.object(Oracle, name))
        stack.enter_context(mutant())
        try:
            play(examples=MOST_EXAMPLES, steps=STEPS, seed=seed, may_mislead=True, shrinks=False)
        except Unproved as error:
            return str(error)
    return ""
