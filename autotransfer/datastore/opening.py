"""Opens a route's datastore to write in it; one that is gone is noticed by the traces that it left beside it."""

from __future__ import annotations

import os
from functools import partial

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.settings import Settings
from autotransfer.common.times import local_text
from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.datastore.traces import Mark, ahead_of, leave, newest


def open_route(settings: Settings, *, is_dry: bool = False, may_be_lost: bool = False) -> Store:
    """The route's datastore; a new one where there is none yet. The caller holds the run lock, and closes it.

    Args:
        is_dry: Whether nothing will be committed; where there is no datastore, none is made then.
        may_be_lost: Whether a lost one may be replaced by a new one: a person says what it would have said.

    Raises:
        ConfigurationProblem: It is lost, or cannot be used. It is unchanged then, and none is made.
    """
    path = settings.state_file("datastore")
    marks = newest(settings)
    has_none = not os.path.lexists(path) or (os.path.isfile(path) and not os.path.getsize(path))
    if marks and not is_dry:
        leave(settings, max(marks, key=lambda mark: mark.commits))  # the log that has it may be rotated away meanwhile
    if has_none and not may_be_lost:
        refuse_lost(path, marks, "gone" if not os.path.lexists(path) else "empty")
    store = Store(IN_MEMORY if is_dry and has_none else path, leave=partial(leave, settings))
    try:
        compare_marks(store, marks)
        if store.newer is not None and store.is_blank and not may_be_lost:
            refuse_lost(path, marks, "empty")
    except BaseException:
        store.close()
        raise
    return store


def compare_marks(store: Store, marks: tuple[Mark, ...]) -> None:
    """Set the store's `newer` mark: of a blank one it is whatever was left beside it."""
    if store.is_blank:
        store.newer = max(marks, key=lambda mark: mark.commits, default=None)
    else:
        with store.explained():
            store.newer = ahead_of(store.mark, marks)


def refuse_lost(path: str, marks: tuple[Mark, ...], how: str) -> None:
    """Refuse to take a missing datastore for one that was never there.

    Args:
        how: What is the matter with it.

    Raises:
        ConfigurationProblem: There are marks.
    """
    if not marks:
        return
    at_ns = max(mark.at_ns for mark in marks)
    raise ConfigurationProblem(
        f"The datastore {path} is {how}",
        why="the log or alerts.json beside it knows of a run" + (f" on {local_text(at_ns)}" if at_ns else ""),
        remedy="Restore it from a backup. If there is none, say for all of SRC_DIR what had arrived: `set_time.py "
        "TIME` (what was not modified after TIME) or `set_time.py never` (nothing: all is compared). Nothing was sent "
        "or recorded.",
        code="datastore lost",
    )


def restored_text(store: Store) -> str:
    """In words, that a datastore is older than what was last used in its place; "" if it is not."""
    if store.newer is None or store.is_blank:
        return ""
    with store.explained():
        last_ns = (store.shelf.get("LAST_RUN") or {}).get("started_at_ns", 0)
    return (
        f"The datastore was restored or replaced: its last run was {_when(last_ns)}, but the log or alerts.json knows "
        f"of one {_when(store.newer.at_ns)}."
    )


def _when(moment_ns: int) -> str:
    return f"on {local_text(moment_ns)}" if moment_ns else "at an unknown time"
