"""Who looks at folders beside this process: threads, processes, or an executor of the owner's choice.

There is no engine of our own: all are executors of `concurrent.futures`, given the same units of work.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple, Optional

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.scan.linux import die_with_parent
from autotransfer.scan.listing import FolderResult, Policy
from autotransfer.scan.worker import FolderBatch, FolderRow, affordable_threads, read_batch, read_rows

# Threads of one process where each call takes long; and of each of several.
LONE_THREADS, THREADS = 64, 16


# A login node has many processors, and other users.
MOST_PROCESSES = 8


# Rows in a unit: enough for the way to a worker and back not to matter.
ROWS = 128


MOST_RESTARTS = 3


STOPPING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class WorkerSetup(NamedTuple):
    """What a worker is told of the scan: SRC_DIR, its inode, the rules, and how many threads to use."""

    src_dir: str
    inode: int
    policy: Policy
    threads: int

    def unit(self, rows: list[FolderRow]) -> FolderBatch:
        """These folders as work."""
        return FolderBatch(self.src_dir, self.inode, self.policy, self.threads, rows)


class PoolUnavailable(Exception):
    """An executor cannot be reached; says why."""


Call = Callable[[list[FolderRow]], "list[FolderResult]"]


class Pool:
    """Workers and what they have been asked.

    A unit that fails, because its worker died or sees another SRC_DIR, comes back unanswered: whoever asked does it.

    Attributes:
        done_batches, failed_batches: How many came back answered, and not.
        last_error: Why the last one was lost.

    Args:
        start: Starts the executor.
        call: What a worker runs on its rows; it and its arguments travel to the worker.
        workers: How many there are; 0 when only the executor knows.
        rows: How many folders to ask for at a time.
    """

    def __init__(self, start: Callable[[], Executor], call: Call, *, workers: int, rows: int) -> None:
        self._start = start
        self._call = call
        self.rows = rows
        self.max_pending = 2 * workers + 1
        self._asked: dict[Future[list[FolderResult]], list[FolderRow]] = {}
        # What came back; None when nothing will any more.
        self._done: SimpleQueue[Optional[Future[list[FolderResult]]]] = SimpleQueue()
        self._restarts = 0
        self.done_batches = self.failed_batches = 0
        self.last_error = ""
        self._executor: Executor | None = start()

    @property
    def has_room(self) -> bool:
        """Whether more can be asked for."""
        return self._executor is not None and len(self._asked) < self.max_pending

    @property
    def is_busy(self) -> bool:
        """Whether answers are to come."""
        return bool(self._asked)

    def ask(self, rows: list[FolderRow]) -> bool:
        """Have folders looked at; False when nobody is there to do it."""
        if self._executor is None:
            self.failed_batches += 1
            return False
        try:
            future = self._submit(self._executor, rows)
        except (RuntimeError, OSError) as error:  # BrokenExecutor is a RuntimeError, and so is a thread too many
            self._lose(error)
            if not self._asked:  # the other units of a broken executor come back first
                self._start_anew(is_broken=isinstance(error, BrokenExecutor))
            return False
        self._asked[future] = rows
        future.add_done_callback(self._done.put)
        return True

    def answer(self) -> tuple[list[FolderRow], Optional[list[FolderResult]]]:
        """The next unit that came back, with its results; None when they are not to be had from a worker."""
        future = self._done.get()
        if future is None:
            return self._given_up(), None
        rows = self._asked.pop(future, [])  # none where it comes after all was given up
        if not rows:
            return rows, None
        error = CancelledError() if future.cancelled() else future.exception()
        if error is None and len(future.result()) == len(rows):
            self.done_batches += 1
            return rows, future.result()
        self._lose(error)
        if isinstance(error, BrokenExecutor) and not self._asked:
            self._start_anew(is_broken=True)
        return rows, None

    def close(self) -> None:
        """Send the workers home; what they still do is not waited for any longer than that takes."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def _submit(self, executor: Executor, rows: list[FolderRow]) -> Future[list[FolderResult]]:
        return executor.submit(self._call, rows)

    def _lose(self, error: BaseException | None) -> None:
        self.failed_batches += 1
        self.last_error = f"{type(error).__name__}: {error}"

    def _given_up(self) -> list[FolderRow]:
        """Everything that was asked, when nothing will come back."""
        rows = [row for rows in self._asked.values() for row in rows]
        self.failed_batches += len(self._asked)
        self._asked.clear()
        self._start_anew(is_broken=False)
        return rows

    def _start_anew(self, *, is_broken: bool) -> None:
        """Have done with the executor, and start another one when this one had been at work."""
        if self._executor is None:
            return
        self._dismiss(self._executor)
        self._executor = None
        if is_broken and self._restarts < MOST_RESTARTS:
            self._restarts += 1
            try:
                self._executor = self._start()
            except Exception as error:  # noqa: BLE001 - whatever an executor raises, the scan goes on without it
                self.last_error = f"{type(error).__name__}: {error}"

    def _dismiss(self, executor: Executor) -> None:
        executor.shutdown(wait=False)


class Processes(Pool):
    """Processes on this machine. Limits of the system may keep them from starting, or from being looked after."""

    def __init__(self, place: WorkerSetup, count: int) -> None:
        self._others = set(_children())
        self._usual_hook = threading.excepthook
        # The pool's own thread starts one more, and dies of it where no more are allowed; then nothing comes back.
        threading.excepthook = self._note_dead_thread
        try:
            look = partial(_look, place, is_alone=True)
            super().__init__(partial(_processes, count), look, workers=count, rows=_rows(place))
        except BaseException:
            threading.excepthook = self._usual_hook
            raise

    def close(self) -> None:
        try:
            super().close()
            self._end_children()
        finally:
            threading.excepthook = self._usual_hook

    def _submit(self, executor: Executor, rows: list[FolderRow]) -> Future[list[FolderResult]]:
        # A process that starts knows no better yet than to die of a signal with many words.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            return super()._submit(executor, rows)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _dismiss(self, executor: Executor) -> None:
        super()._dismiss(executor)
        self._end_children()

    def _end_children(self) -> None:
        """End whoever is left: those of a pool that did not start as a whole wait for ever, as would this process."""
        for child in _children():
            if child not in self._others:
                child.kill()
                child.join()

    def _note_dead_thread(self, what: threading.ExceptHookArgs) -> None:
        self.last_error = f"{what.exc_type.__name__}: {what.exc_value}"
        self._done.put(None)


def of_threads(root_fd: int, policy: Policy) -> Pool:
    """Threads of this process: for a file system whose calls take long."""
    from concurrent.futures import ThreadPoolExecutor

    call: Call = partial(read_rows, root_fd, policy=policy)
    threads = affordable_threads(LONE_THREADS)
    return Pool(partial(ThreadPoolExecutor, threads), call, workers=threads, rows=1)


def of_processes(place: WorkerSetup, count: int) -> Pool:
    """Processes on this machine: where the interpreter's lock is the limit.

    Raises:
        PoolUnavailable: The system allows none.
    """
    try:
        return Processes(place, count)
    except (OSError, NotImplementedError, ImportError) as error:  # no descriptors left, or no semaphores at all
        raise PoolUnavailable(f"{type(error).__name__}: {error}") from None


def of_executor(name: str, place: WorkerSetup, count: int) -> Pool:
    """The executor that SCAN_EXECUTOR names.

    Raises:
        ConfigurationProblem: Its package is not installed.
        PoolUnavailable: It cannot be reached.
    """
    try:
        return Pool(
            partial(_dask, name.partition(":")[2]), partial(_look, place), workers=count or 8, rows=_rows(place)
        )
    except ImportError as error:
        raise ConfigurationProblem(
            f"SCAN_EXECUTOR is {name!r}, and this Python lacks the package {error.name}",
            remedy="Install the extra [dask], or take SCAN_EXECUTOR out. Nothing was sent or recorded.",
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever the owner's executor raises, the scan goes on without it
        raise PoolUnavailable(f"{type(error).__name__}: {error}") from None


def _look(place: WorkerSetup, rows: list[FolderRow], *, is_alone: bool = False) -> list[FolderResult]:
    return read_batch(place.unit(rows), is_alone=is_alone)


def _rows(place: WorkerSetup) -> int:
    return 2 * place.threads if place.threads > 1 else ROWS


def processes_for(*, is_slow: bool) -> int:
    """How many processes a scan may use by itself; where calls are waited for, more than there are processors.

    Then nearly all of a process's work is to wake its threads, one after the other. Measured with 0.2 ms a call on two
    processors: 4 processes of 16 threads took three quarters of the time of 2 processes of 32.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    return min(2 * count if is_slow else count, MOST_PROCESSES)


def _processes(count: int) -> Executor:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # A fork takes no time, but a thread could hold a lock in it for ever; macOS's own libraries start threads.
    may_fork = sys.platform == "linux" and threading.active_count() == 1
    context = multiprocessing.get_context("fork" if may_fork else "spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_enter_worker)


def _enter_worker() -> None:
    """What a process of ours does first: it leaves signals to the run, and goes when the run is gone."""
    import gc

    gc.disable()  # nothing here makes cycles
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    die_with_parent(signal.SIGKILL)
    try:  # where the system does not see to it, and where the run was gone before it was asked to
        threading.Thread(target=_go_with_parent, daemon=True).start()
    except RuntimeError:  # no more are allowed: better no worker than one that outlives its run
        os.kill(os.getpid(), signal.SIGKILL)


def _children() -> list[Any]:
    import multiprocessing

    return multiprocessing.active_children()


def _go_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _dask(address: str) -> Executor:
    from distributed import Client

    connect: Any = Client  # it has no annotations
    client = connect(address, timeout="10s", set_as_default=False)
    return _Closing(client.get_executor(pure=False), client.close)


class _Closing(Executor):
    """An executor that closes something more when it is shut down."""

    def __init__(self, executor: Executor, close: Callable[[], object]) -> None:
        self._executor = executor
        self._close = close

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait=wait)
        self._close()
