"""Who looks at folders beside this process: threads, processes, or an executor of the owner's choice.

There is no engine of our own: all are executors of `concurrent.futures`, given the same units of work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple, Optional

from autotransfer.errors import ConfigurationProblem
from autotransfer.looking import Row, Rules, Unit, look_at, look_at_rows
from autotransfer.sights import Sight

# Threads of one process where each call takes long; and of each of several.
LONE_THREADS, THREADS = 64, 32
# A login node has many processors, and other users.
MOST_PROCESSES = 8
# Rows in a unit: enough for the way to a worker and back not to matter.
ROWS = 128
MOST_RESTARTS = 3


class Place(NamedTuple):
    """What a worker is told of the scan: SRC_DIR, its inode, the rules, and how many threads to use."""

    src_dir: str
    inode: int
    rules: Rules
    threads: int

    def unit(self, rows: list[Row]) -> Unit:
        """These folders as work."""
        return Unit(self.src_dir, self.inode, self.rules, self.threads, rows)


class NobodyThere(Exception):
    """An executor cannot be reached; says why."""


Call = Callable[[list[Row]], "list[Sight]"]


class Crew:
    """Workers and what they have been asked.

    A unit that fails, because its worker died or sees another SRC_DIR, comes back unanswered: whoever asked does it.

    Attributes:
        done_units, lost_units: How many came back answered, and not.
        why_lost: Why the last one was lost.

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
        self.most_units = 2 * workers + 1
        self._asked: dict[Future[list[Sight]], list[Row]] = {}
        self._done: SimpleQueue[Future[list[Sight]]] = SimpleQueue()
        self._restarts = 0
        self.done_units = self.lost_units = 0
        self.why_lost = ""
        self._executor: Executor | None = start()

    @property
    def has_room(self) -> bool:
        """Whether more can be asked for."""
        return self._executor is not None and len(self._asked) < self.most_units

    @property
    def is_busy(self) -> bool:
        """Whether answers are to come."""
        return bool(self._asked)

    def ask(self, rows: list[Row]) -> bool:
        """Have folders looked at; False when nobody is there to do it."""
        if self._executor is None:
            return False
        try:
            future = self._executor.submit(self._call, rows)
        except (BrokenExecutor, RuntimeError):
            self._start_anew()
            return False
        self._asked[future] = rows
        future.add_done_callback(self._done.put)
        return True

    def answer(self) -> tuple[list[Row], Optional[list[Sight]]]:
        """The next unit that came back, with its sights; None when they are not to be had from a worker."""
        future = self._done.get()
        rows = self._asked.pop(future)
        error = future.exception()
        if error is None and len(future.result()) == len(rows):
            self.done_units += 1
            return rows, future.result()
        if isinstance(error, BrokenExecutor):
            self._start_anew()
        self.lost_units += 1
        self.why_lost = f"{type(error).__name__}: {error}"
        return rows, None

    def close(self) -> None:
        """Send the workers home; what they still do is not waited for any longer than that takes."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def _start_anew(self) -> None:
        if self._asked or self._executor is None:  # the other units of a broken executor come back first
            return
        self._executor.shutdown(wait=False)
        self._executor = None
        if self._restarts < MOST_RESTARTS:
            self._restarts += 1
            self._executor = self._start()


def of_threads(root_fd: int, rules: Rules) -> Crew:
    """Threads of this process: for a file system whose calls take long."""
    from concurrent.futures import ThreadPoolExecutor

    call: Call = partial(look_at_rows, root_fd, rules=rules)
    return Crew(partial(ThreadPoolExecutor, LONE_THREADS), call, workers=LONE_THREADS, rows=1)


def of_processes(place: Place, count: int) -> Crew:
    """Processes on this machine: where the interpreter's lock is the limit."""
    return Crew(partial(_processes, count), partial(_look, place), workers=count, rows=_rows(place))


def of_executor(name: str, place: Place, count: int) -> Crew:
    """The executor that SCAN_EXECUTOR names.

    Raises:
        ConfigurationProblem: Its package is not installed.
        NobodyThere: It cannot be reached.
    """
    start = partial(_dask, name.partition(":")[2]) if name.startswith("dask:") else partial(_mpi, count)
    try:
        return Crew(start, partial(_look, place), workers=count or 8, rows=_rows(place))
    except ImportError as error:
        extra = "dask" if name.startswith("dask:") else "mpi"
        raise ConfigurationProblem(
            f"SCAN_EXECUTOR is {name!r}, and this Python lacks the package {error.name}",
            remedy=f"Install the extra [{extra}], or take SCAN_EXECUTOR out. Nothing was sent or recorded.",
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever the owner's executor raises, the scan goes on without it
        raise NobodyThere(f"{type(error).__name__}: {error}") from None


def _look(place: Place, rows: list[Row]) -> list[Sight]:
    return look_at(place.unit(rows))


def _rows(place: Place) -> int:
    return 2 * place.threads if place.threads > 1 else ROWS


def processors() -> int:
    """How many processes a scan may use by itself."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    return min(count, MOST_PROCESSES)


def _processes(count: int) -> Executor:
    import multiprocessing
    import threading
    from concurrent.futures import ProcessPoolExecutor

    # A fork takes no time, but a thread could hold a lock in it for ever; macOS's own libraries start threads.
    may_fork = sys.platform == "linux" and threading.active_count() == 1
    context = multiprocessing.get_context("fork" if may_fork else "spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_enter_worker)


def _enter_worker() -> None:
    """What a process of ours does first: it leaves signals to the run, and goes when the run is gone."""
    import gc
    import signal
    import threading

    gc.disable()  # nothing here makes cycles
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_go_with_parent, daemon=True).start()


def _go_with_parent() -> None:
    import multiprocessing
    import signal

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _dask(address: str) -> Executor:
    from distributed import Client

    connect: Any = Client  # it has no annotations
    client = connect(address, timeout="10s", set_as_default=False)
    return _Closing(client.get_executor(pure=False), client.close)


def _mpi(count: int) -> Executor:
    from mpi4py.futures import MPIPoolExecutor

    executor: Executor = MPIPoolExecutor(count or None)
    return executor


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
