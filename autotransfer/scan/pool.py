"""Reads folders outside the scan's own thread: in threads, in processes, or on a Dask cluster.

All three are executors of `concurrent.futures`, given the same batches of folders. What they do not do, the scan does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, TimeoutError
from functools import partial
from queue import SimpleQueue
from typing import Any, Optional

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.scan.linux import die_with_parent
from autotransfer.scan.listing import FolderResult, Policy
from autotransfer.scan.worker import FolderRow, WorkerSetup, affordable_threads, read_batch, read_rows

# Threads of a process where each call takes long: of the only process, and of each of several.
LONE_THREADS, THREADS = 64, 16

# A login node has many processors, and other users.
MAX_PROCESSES = 8

# Rows in a batch: enough to outweigh the way to a worker and back.
ROWS = 128

# For the first process to answer. Until then a thread of the executor may fail to start, and nothing reports that.
START_SECONDS = 30
STOPPING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class PoolUnavailable(Exception):
    """An executor cannot be started or reached; says why."""


class Pool:
    """An executor and the batches it was given.

    A batch fails when its worker dies or finds another SRC_DIR; the caller then reads its folders itself. Once the
    executor is broken it is given nothing more.

    Attributes:
        rows: How many folders make a batch.
        max_pending: How many batches may be pending.
        done_batches, failed_batches: How many were returned, and how many were not.
        last_error: Why the last one failed.

    Args:
        submit: Has a worker read the folders of a batch.
        close: Ends the executor, without waiting for what no worker has begun.
        workers: How many there are.
    """

    def __init__(
        self,
        submit: Callable[[list[FolderRow]], Future[list[FolderResult]]],
        close: Callable[[], object],
        *,
        workers: int,
        rows: int,
    ) -> None:
        self._submit = submit
        self.close = close
        self.rows = rows
        self.max_pending = 2 * workers + 1
        self._pending: dict[Future[list[FolderResult]], list[FolderRow]] = {}
        self._finished: SimpleQueue[Future[list[FolderResult]]] = SimpleQueue()
        self._is_broken = False
        self.done_batches = self.failed_batches = 0
        self.last_error = ""

    @property
    def has_room(self) -> bool:
        """Whether another batch can be submitted."""
        return not self._is_broken and len(self._pending) < self.max_pending

    @property
    def is_busy(self) -> bool:
        """Whether batches are pending."""
        return bool(self._pending)

    def submit(self, rows: list[FolderRow]) -> bool:
        """Have folders read by a worker; False when the executor is broken."""
        if self._is_broken:
            return False
        try:
            future = self._submit(rows)
        except (RuntimeError, OSError) as error:  # also when no more threads or processes are allowed
            self._is_broken = True
            self._count_failed(error)
            return False
        self._pending[future] = rows
        future.add_done_callback(self._finished.put)
        return True

    def next_finished(self) -> tuple[list[FolderRow], Optional[list[FolderResult]]]:
        """Wait for a pending batch to end: its rows and their results, None for the results when it failed."""
        future = self._finished.get()
        rows = self._pending.pop(future)
        error = CancelledError() if future.cancelled() else future.exception()
        if error is None and len(future.result()) == len(rows):
            self.done_batches += 1
            return rows, future.result()
        self._is_broken = self._is_broken or isinstance(error, (BrokenExecutor, CancelledError))
        self._count_failed(error)
        return rows, None

    def _count_failed(self, error: BaseException | None) -> None:
        self.failed_batches += 1
        self.last_error = f"{type(error).__name__}: {error}"


def of_threads(root_fd: int, policy: Policy) -> Pool:
    """Threads of this process: for a file system whose calls take long."""
    from concurrent.futures import ThreadPoolExecutor

    threads = affordable_threads(LONE_THREADS)
    executor = ThreadPoolExecutor(threads)

    def submit(rows: list[FolderRow]) -> Future[list[FolderResult]]:
        return executor.submit(read_rows, root_fd, policy, rows)

    return Pool(submit, partial(executor.shutdown, cancel_futures=True), workers=threads, rows=1)


def of_processes(setup: WorkerSetup, count: int) -> Pool:
    """Processes on this machine: where the interpreter's lock is the limit.

    Raises:
        PoolUnavailable: A limit of the system allows too few processes, threads or descriptors.
    """
    import multiprocessing

    # A fork takes no time, but would copy a lock that another thread holds; macOS's own libraries start threads.
    may_fork = sys.platform == "linux" and threading.active_count() == 1
    context = multiprocessing.get_context("fork" if may_fork else "spawn")
    try:
        _require_threads(2 * count + 2)  # each process starts one, and the executor two
        from concurrent.futures import ProcessPoolExecutor

        executor = ProcessPoolExecutor(count, mp_context=context, initializer=_enter_worker)
        _submit_to_process(executor, os.getpid).result(timeout=START_SECONDS)
    except (OSError, RuntimeError, NotImplementedError, ImportError, TimeoutError) as error:
        for child in multiprocessing.active_children():  # those of an executor that did not start wait for ever
            child.kill()
        raise PoolUnavailable(f"the processes did not start ({type(error).__name__}: {error})") from None
    submit = partial(_submit_to_process, executor, partial(read_batch, setup, is_alone=True))
    return Pool(submit, partial(executor.shutdown, cancel_futures=True), workers=count, rows=_rows_for(setup))


def of_dask(address: str, setup: WorkerSetup, count: int) -> Pool:
    """A Dask cluster.

    Args:
        count: How many workers to keep busy; 0: eight.

    Raises:
        ConfigurationProblem: Dask is not installed.
        PoolUnavailable: The scheduler cannot be reached.
    """
    try:
        from distributed import Client

        connect: Any = Client  # it has no annotations
        client = connect(address, timeout="10s", set_as_default=False)
        executor = client.get_executor(pure=False)
    except ImportError as error:
        raise ConfigurationProblem(
            f"SCAN_EXECUTOR is {'dask:' + address!r}, and this Python lacks the package {error.name}",
            remedy="Install the extra [dask], or take SCAN_EXECUTOR out. Nothing was sent or recorded.",
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever Dask raises, the scan goes on without it
        raise PoolUnavailable(f"{type(error).__name__}: {error}") from None
    submit = partial(executor.submit, read_batch, setup)
    return Pool(submit, client.close, workers=count or 8, rows=_rows_for(setup))


def processes_for(*, is_slow: bool) -> int:
    """How many processes a scan may use by default: more than there are processors where calls are waited for.

    Nearly all of a process's work there is to wake its threads, one after the other. Measured with 0.2 ms a call on two
    processors: 4 processes of 16 threads took three quarters of the time of 2 processes of 32.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    return min(2 * count if is_slow else count, MAX_PROCESSES)


def _rows_for(setup: WorkerSetup) -> int:
    return 2 * setup.threads if setup.threads > 1 else ROWS


def _submit_to_process(executor: Executor, call: Callable[..., Any], *args: Any) -> Future[Any]:
    # A process may start here, and until it has set its handlers a signal would end it with a traceback.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        return executor.submit(call, *args)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _require_threads(count: int) -> None:
    """Make sure that the system allows that many more threads or processes, which its limits count alike.

    Raises:
        RuntimeError: It does not.
    """
    end = threading.Event()
    threads = [threading.Thread(target=end.wait, daemon=True) for _ in range(count)]
    started = []
    try:
        for thread in threads:
            thread.start()
            started.append(thread)
    finally:
        end.set()
        for thread in started:
            thread.join()


def _enter_worker() -> None:
    """What a worker process does first: it leaves signals to the run, and ends when the run has ended."""
    import gc

    gc.disable()  # nothing here makes cycles
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    die_with_parent(signal.SIGKILL)
    try:  # where the system does not do that, and where the run had ended before it was asked to
        threading.Thread(target=_end_with_parent, daemon=True).start()
    except RuntimeError:  # no more are allowed: better no worker than one that outlives its run
        os.kill(os.getpid(), signal.SIGKILL)


def _end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
