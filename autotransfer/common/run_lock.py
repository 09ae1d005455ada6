"""The lock of a route: one run at a time, with its pid in the file `lock` in CODE_PATH."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from autotransfer.common.errors import ConfigurationProblem, RunActive
from autotransfer.common.files import explained_as, open_own
from autotransfer.common.text import age_text
from autotransfer.common.times import DAY

LONGEST_RUN_SECONDS = DAY
LOCK_POLL_SECONDS = 0.2
NOTHING_DONE = "Nothing was done, and you need not do anything."


@contextmanager
def held_lock(
    path: str,
    *,
    is_silent: bool = False,
    wait_seconds: float = 0.0,
    effect: str = NOTHING_DONE,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the route's lock. The system releases it when the process ends, so a crash leaves nothing behind.

    Args:
        is_silent: Whether an active run need not be reported, as when cron starts the next one early.
        wait_seconds: How long to wait for an active run to end.
        effect: What it means that this one did not run, and what to do.
        on_wait: Called once when that is waited for.

    Raises:
        RunActive: Another run holds it.
        ConfigurationProblem: CODE_PATH is missing or not writable.
    """
    lock_fd = open_own(path, os.O_RDWR)
    held = [lock_fd]

    def leave_to_the_run() -> None:
        while held:
            os.close(held.pop())

    # Otherwise the scan's worker processes would hold the lock too, and keep it for a moment after a run is killed.
    os.register_at_fork(after_in_child=leave_to_the_run)
    try:
        remedy = (
            "Its file system does not support flock: move CODE_PATH to one that does, or have it mounted with locks. "
            "Nothing was sent or recorded."
        )
        with explained_as(ConfigurationProblem, f"Cannot lock {path}", remedy=remedy):
            give_up_at = time.monotonic() + wait_seconds
            while not _is_locked(lock_fd):
                if time.monotonic() >= give_up_at:
                    raise _active(lock_fd, is_silent=is_silent, effect=effect)
                if on_wait is not None:
                    on_wait()
                    on_wait = None
                time.sleep(LOCK_POLL_SECONDS)
        with suppress(OSError):  # the pid is only for people; a full disk must not stop a run here
            os.ftruncate(lock_fd, 0)
            os.pwrite(lock_fd, f"pid {os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        held.clear()
        os.close(lock_fd)


def _is_locked(lock_fd: int) -> bool:
    """Take the lock if it is free; returns whether it was."""
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _active(lock_fd: int, *, is_silent: bool, effect: str) -> RunActive:
    """The problem that reports the run that holds the lock; that run wrote its pid there when it began."""
    seconds = time.time() - os.fstat(lock_fd).st_mtime
    if seconds >= LONGEST_RUN_SECONDS:
        time.sleep(0.5)  # a run that is just beginning is about to write it
        seconds = time.time() - os.fstat(lock_fd).st_mtime
    holder = os.pread(lock_fd, 100, 0).decode("ascii", "replace").strip()
    if seconds < LONGEST_RUN_SECONDS:
        return RunActive(
            f"Another run of this route is active ({holder or 'starting'})",
            remedy=effect,
            is_silent=is_silent,
        )
    undone = "" if effect == NOTHING_DONE else f"{effect} "
    return RunActive(
        f"Another run of this route has been active for {age_text(seconds)} ({holder})",
        remedy=f"{undone}Until it ends, no other run can start. It may be waiting for a disk, or for an answer that "
        "never comes: then end it (`kill` with its pid). Nothing is lost; the next run continues from there.",
        is_silent=False,
        is_overlong=True,
    )
