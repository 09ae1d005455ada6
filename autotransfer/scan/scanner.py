"""Every folder of the tree with what it holds, in the order of a walk, by as many as are worth it.

It begins in this process, and a small tree ends there. When it takes longer, the others are called: threads where each
call takes long (network file systems), processes where the interpreter is the limit. A quick scan leaves out the
folders whose own times are those of their marks.
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
from autotransfer.scan.listing import FolderResult, Listing, Policy
from autotransfer.scan.pool import Pool, PoolUnavailable, WorkerSetup
from autotransfer.scan.quick import stale_folders
from autotransfer.scan.walk_order import WalkOrder
from autotransfer.scan.worker import FolderScanner

# How long to go on alone before the first and each later thought of calling others.
PATIENCE_SECONDS = 0.01


# What is left must be worth their coming.
WORTH_PROCESSES_SECONDS = 0.25


# A look that waits more than it works, and this long, is on a slow file system.
SLOW_SECONDS = 60e-6


WAITING_SHARE = 0.6


# A few looks may have taken long because the processor was with others.
FEWEST_LOOKS = 50


WINDOW_UNITS = 6


NETWORK_FILE_SYSTEMS = (
    *("nfs", "nfs4", "lustre", "gpfs", "cifs", "smb3", "smbfs", "beegfs", "beegfs_nodev", "ceph", "glusterfs", "afs"),
    *("9p", "virtiofs", "panfs", "pvfs2", "orangefs", "fuse"),
)


class Pace(NamedTuple):
    """How the scan went so far: folders and files seen, seconds it took, and those of them the processor worked."""

    looks: int
    seconds: float
    cpu_seconds: float

    @property
    def is_slow(self) -> bool:
        """Whether each call takes long, and is waited for."""
        waits = self.seconds - self.cpu_seconds
        is_waiting = waits > WAITING_SHARE * self.seconds and self.seconds > SLOW_SECONDS * self.looks
        return is_waiting and self.looks >= FEWEST_LOOKS


class Scanner:
    """One pass over the folders of SRC_DIR.

    Args:
        root_fd: SRC_DIR, open.
        is_quick: Whether folders with a mark that holds are left out.
        choose: Who is called, from the pace so far; None: nobody yet.

    Attributes:
        losses: Once it is over: what the others did not do and why, "" when they did all; it was done here.
        is_alone: Whether they did nothing at all.
        left_out_folders, left_out_files: What a quick scan did not look at.
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
        self._choose = choose or self._chosen
        self._read = FolderScanner(root_fd, policy, clock_ns=clock_ns)
        self.left_out_folders = self.left_out_files = 0
        self.losses = ""
        self.is_alone = False

    def __iter__(self) -> Iterator[tuple[str, FolderResult]]:
        """Each folder's rel_path with what it holds, parents before children, siblings in order of name.

        What a quick scan leaves out is not among them; it is counted in `left_out_folders` and `left_out_files`.
        """
        todo = [""]
        looks, seconds, cpu_seconds, patience = 0, 0.0, 0.0, PATIENCE_SECONDS
        while todo:
            started, cpu_started = time.perf_counter(), time.thread_time()
            rel_path = todo.pop()
            result, below = self._see(rel_path)
            todo.extend(reversed(below))
            seconds += time.perf_counter() - started
            cpu_seconds += time.thread_time() - cpu_started
            yield rel_path, result
            looks += 1 + (len(result.files) if isinstance(result, Listing) else result.files)
            if seconds > patience and todo:
                patience *= 2
                others = self._choose(Pace(looks, seconds, cpu_seconds))
                if others is not None:
                    yield from self._together(others, todo[::-1])
                    return

    def _see(self, rel_path: str) -> tuple[FolderResult, list[str]]:
        result = self._read(rel_path, self._store.trie.record(rel_path))
        return result, self._to_go_into(rel_path, result.folders)

    def _to_go_into(self, rel_path: str, names: Sequence[str]) -> list[str]:
        if not (self._is_quick and names):
            return [join(rel_path, name) for name in names]
        seen = stale_folders(self._root_fd, self._store.marks, rel_path, names)
        self.left_out_folders += seen.folders
        self.left_out_files += seen.files
        return seen.stale

    def _together(self, others: Pool, start: list[str]) -> Iterator[tuple[str, FolderResult]]:
        order: WalkOrder[FolderResult] = WalkOrder(start, WINDOW_UNITS * others.max_pending * others.rows)
        try:
            while not order.is_done:
                self._ask(others, order)
                found = order.next()
                if found is not None:
                    yield found
                elif others.is_busy:
                    self._hear(others, order)
        finally:
            self._note_losses(others)
            others.close()

    def _note_losses(self, others: Pool) -> None:
        if others.failed_batches:
            whole = "all" if not others.done_batches else f"{others.failed_batches:,} of {others.done_batches:,}"
            self.losses = f"{whole} batches of folders came back from no worker ({others.last_error})"
            self.is_alone = not others.done_batches and bool(self._settings.scan_executor)

    def _ask(self, others: Pool, order: WalkOrder[FolderResult]) -> None:
        while others.has_room or not others.is_busy:
            rel_paths = order.ask(others.rows)
            if not rel_paths:
                return
            rows = list(zip(rel_paths, self._store.records(rel_paths)))
            if not others.ask(rows):
                self._do(rel_paths, order)
                return

    def _hear(self, others: Pool, order: WalkOrder[FolderResult]) -> None:
        rows, results = others.answer()
        if results is None:
            self._do([rel_path for rel_path, _ in rows], order)
            return
        now_ns = self._clock_ns()  # not the worker's clock: it may be another machine's
        for (rel_path, _), result in zip(rows, results):
            if isinstance(result, Listing) and not result.is_readable:
                # It was seen here a moment ago: the worker may have another disk in that place.
                self._do([rel_path], order)
                continue
            seen = result._replace(seen_at_ns=now_ns) if isinstance(result, Listing) else result
            order.answer(rel_path, seen, self._to_go_into(rel_path, seen.folders))

    def _do(self, rel_paths: Sequence[str], order: WalkOrder[FolderResult]) -> None:
        for rel_path in rel_paths:
            order.answer(rel_path, *self._see(rel_path))

    def _chosen(self, pace: Pace) -> Pool | None:
        """Who is worth calling now."""
        settings = self._settings
        is_slow = pace.is_slow or _is_on_network(self._root_fd)
        # As many as the last scan saw; before the first one, as much again as there was.
        last = self._store.shelf.get(LAST_RUN) or {}
        expected = last.get("tree_files") or last.get("files") or 2 * pace.looks
        seconds_left = (expected / pace.looks - 1) * pace.cpu_seconds
        count = settings.scan_workers or pool.processes_for(is_slow=is_slow)
        threads = pool.THREADS if is_slow else 1
        place = WorkerSetup(settings.src_dir, os.fstat(self._root_fd).st_ino, self._policy, threads)
        if settings.scan_executor:
            return self._elsewhere(place)
        if count > 1 and seconds_left > WORTH_PROCESSES_SECONDS:
            try:
                return pool.of_processes(place, count)
            except PoolUnavailable as error:
                self.losses = str(error)
        return pool.of_threads(self._root_fd, self._policy) if is_slow else None

    def _elsewhere(self, place: WorkerSetup) -> Pool | None:
        if self.is_alone:
            return None
        try:
            return pool.of_executor(self._settings.scan_executor, place, self._settings.scan_workers)
        except PoolUnavailable as error:
            self.losses, self.is_alone = str(error), True
            return None


def _is_on_network(root_fd: int) -> bool:
    """Whether the file system is one whose calls go over a network, as far as Linux tells."""
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
