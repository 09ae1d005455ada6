"""Reads every folder of the tree, in the order of a walk, with as many workers as pay off.

The scan begins in this process, and a small tree ends there. When it takes longer, workers are started: threads where
each call takes long (network file systems), processes where the interpreter's lock is the limit. A quick scan does not
read the folders whose own times have not changed (quick).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Optional

from autotransfer.common.paths import join
from autotransfer.common.settings import Settings
from autotransfer.datastore.store import LAST_RUN, Store
from autotransfer.scan import pool
from autotransfer.scan.listing import Listing, Policy, ScannedFolder
from autotransfer.scan.pool import Pool, PoolUnavailable
from autotransfer.scan.quick import stale_folders
from autotransfer.scan.walk_order import WalkOrder
from autotransfer.scan.worker import FolderScanner, WorkerSetup

# How long to scan in this process before considering workers; it doubles each time.
PATIENCE_SECONDS = 0.01

# Less than this is left: starting processes does not pay off.
WORTH_PROCESSES_SECONDS = 0.25

# A call that waits more than it works, and takes this long, is on a slow file system.
SLOW_SECONDS = 60e-6
WAITING_SHARE = 0.6

# Fewer tell nothing: they may have taken long because the processor was busy.
FEWEST_READS = 50
WINDOW_BATCHES = 6

NETWORK_FILE_SYSTEMS = (
    *("nfs", "nfs4", "lustre", "gpfs", "cifs", "smb3", "smbfs", "beegfs", "beegfs_nodev", "ceph", "glusterfs", "afs"),
    *("9p", "virtiofs", "panfs", "pvfs2", "orangefs", "fuse"),
)


class Pace(NamedTuple):
    """The scan so far: folders and files read, seconds it took, and those of them in which the processor worked."""

    reads: int
    seconds: float
    cpu_seconds: float

    @property
    def is_slow(self) -> bool:
        """Whether each call takes long, and is waited for."""
        waits = self.seconds - self.cpu_seconds
        is_waiting = waits > WAITING_SHARE * self.seconds and self.seconds > SLOW_SECONDS * self.reads
        return is_waiting and self.reads >= FEWEST_READS


class Scanner:
    """One pass over the folders of SRC_DIR.

    Args:
        root_fd: SRC_DIR, open.
        is_quick: Whether folders whose own times have not changed are not read.
        choose: Returns the workers to use, from the pace so far; None: none yet.

    Attributes:
        pool_error: After the scan: why this process read what workers should have read; "" when they read it.
        is_executor_unused: Whether that was everything, in spite of SCAN_EXECUTOR.
        unread_folders, unread_files: What a quick scan did not read.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        root_fd: int,
        policy: Policy,
        *,
        clock_ns: Callable[[], int],
        is_quick: bool = False,
        choose: Optional[Callable[[Pace], Optional[Pool]]] = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._root_fd = root_fd
        self._policy = policy
        self._clock_ns = clock_ns
        self._is_quick = is_quick
        self._choose = choose or self._workers_for
        self._read_folder = FolderScanner(root_fd, policy, clock_ns=clock_ns)
        self.unread_folders = self.unread_files = 0
        self.pool_error = ""
        self.is_executor_unused = False

    def __iter__(self) -> Iterator[ScannedFolder]:
        """Each folder, parents before children, siblings in order of name.

        What a quick scan does not read is not among them; it is counted in `unread_folders` and `unread_files`.
        """
        todo = [""]
        reads, seconds, cpu_seconds, patience = 0, 0.0, 0.0, PATIENCE_SECONDS
        while todo:
            started, cpu_started = time.perf_counter(), time.thread_time()
            rel_path = todo.pop()
            folder, below = self._read(rel_path)
            todo.extend(reversed(below))
            seconds += time.perf_counter() - started
            cpu_seconds += time.thread_time() - cpu_started
            yield folder
            result = folder.result
            reads += 1 + (len(result.files) if isinstance(result, Listing) else result.files)
            if seconds > patience and todo:
                patience *= 2
                workers = self._choose(Pace(reads, seconds, cpu_seconds))
                if workers is not None:
                    yield from self._with_workers(workers, todo[::-1])
                    return

    def _read(self, rel_path: str) -> tuple[ScannedFolder, list[str]]:
        record = self._store.trie.record(rel_path)
        result = self._read_folder(rel_path, record)
        return ScannedFolder(rel_path, result, record), self._to_read_below(rel_path, result.folders)

    def _to_read_below(self, rel_path: str, names: Sequence[str]) -> list[str]:
        if not (self._is_quick and names):
            return [join(rel_path, name) for name in names]
        found = stale_folders(self._root_fd, self._store.folder_times, rel_path, names)
        self.unread_folders += found.folders
        self.unread_files += found.files
        return found.stale

    def _with_workers(self, workers: Pool, start: list[str]) -> Iterator[ScannedFolder]:
        order: WalkOrder[ScannedFolder] = WalkOrder(start, WINDOW_BATCHES * workers.max_pending * workers.rows)
        try:
            while not order.is_done:
                self._submit(workers, order)
                found = order.next()
                if found is not None:
                    yield found[1]
                elif workers.is_busy:
                    self._collect(workers, order)
        finally:
            self._note_failures(workers)
            workers.close()

    def _note_failures(self, workers: Pool) -> None:
        if workers.failed_batches:
            failed, batches = workers.failed_batches, workers.failed_batches + workers.done_batches
            self.pool_error = f"{failed:,} of {batches:,} batches of folders failed: {workers.last_error}"
            self.is_executor_unused = not workers.done_batches and bool(self._settings.scan_executor)

    def _submit(self, workers: Pool, order: WalkOrder[ScannedFolder]) -> None:
        while workers.has_room or not workers.is_busy:
            rel_paths = order.ask(workers.rows)
            if not rel_paths:
                return
            if not workers.submit(list(zip(rel_paths, self._store.pickled_records(rel_paths)))):
                self._read_here(rel_paths, order)
                return

    def _collect(self, workers: Pool, order: WalkOrder[ScannedFolder]) -> None:
        rows, results = workers.next_finished()
        if results is None:
            self._read_here([rel_path for rel_path, _ in rows], order)
            return
        now_ns = self._clock_ns()  # not the worker's clock: it may be another machine's
        for (rel_path, pickled), result in zip(rows, results):
            if not isinstance(result, Listing):
                folder = ScannedFolder(rel_path, result, None)
            elif result.is_readable:
                record = self._store.load_record(rel_path, pickled)
                folder = ScannedFolder(rel_path, result._replace(seen_at_ns=now_ns), record)
            else:  # it was here a moment ago: the worker may have another disk in that place
                self._read_here([rel_path], order)
                continue
            order.answer(rel_path, folder, self._to_read_below(rel_path, result.folders))

    def _read_here(self, rel_paths: Sequence[str], order: WalkOrder[ScannedFolder]) -> None:
        for rel_path in rel_paths:
            order.answer(rel_path, *self._read(rel_path))

    def _workers_for(self, pace: Pace) -> Pool | None:
        """The workers that pay off now."""
        settings = self._settings
        is_slow = pace.is_slow or _is_on_network(self._root_fd)
        if pace.reads < FEWEST_READS and not is_slow:
            return None  # processes with one thread each would take long where calls turn out to be slow
        # As many as the last scan read; before the first one, as many again as so far.
        last = self._store.shelf.get(LAST_RUN) or {}
        expected = last.get("tree_files") or last.get("files") or 2 * pace.reads
        seconds_left = (expected / pace.reads - 1) * pace.cpu_seconds
        count = settings.scan_workers or pool.processes_for(is_slow=is_slow)
        threads = pool.THREADS if is_slow else 1
        setup = WorkerSetup(settings.src_dir, os.fstat(self._root_fd).st_ino, self._policy, threads)
        if settings.scan_executor:
            return self._dask(setup)
        if count > 1 and seconds_left > WORTH_PROCESSES_SECONDS and not self.pool_error:
            try:
                return pool.of_processes(setup, count)
            except PoolUnavailable as error:
                self.pool_error = str(error)
        return pool.of_threads(self._root_fd, self._policy) if is_slow else None

    def _dask(self, setup: WorkerSetup) -> Pool | None:
        if self.is_executor_unused:
            return None
        settings = self._settings
        try:
            return pool.of_dask(settings.scan_executor.partition(":")[2], setup, settings.scan_workers)
        except PoolUnavailable as error:
            self.pool_error, self.is_executor_unused = str(error), True
            return None


def _is_on_network(root_fd: int) -> bool:
    """Whether the file system is one whose calls go over a network, by what Linux reports."""
    status = os.fstat(root_fd)
    device = f" {os.major(status.st_dev)}:{os.minor(status.st_dev)} "
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                if device in line:
                    kind = line.partition(" - ")[2].split(" ", 1)[0]
                    return kind.partition(".")[0] in NETWORK_FILE_SYSTEMS
    except OSError:
        pass
    return False
