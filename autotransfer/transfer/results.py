"""Records the outcome of an ended task for its paths: delivered, to be retried, or gone. Pure.

A path counts as delivered only if it is still what it was before the task was submitted. If it changed in transit, the
destination may have either content, so it is retried, compared by checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby, islice
from typing import NamedTuple, Optional

from autotransfer.common.paths import FOLDER_ITSELF, join, split
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore.record import Delivered, Fingerprint, Folder, Retry
from autotransfer.datastore.tasks import Item
from autotransfer.datastore.trie import PathTrie
from autotransfer.plan.in_flight import carried_names, touched_folders
from autotransfer.transfer.task_status import pause_ns

# (folder, name) -> the path's fingerprint now, or None if it is gone; OSError if it cannot be read.
Recheck = Callable[[str, str], Optional[Fingerprint]]
CHANGED = "CHANGED_UNDER_TRANSFER"

# So many delivered files are sorted at a time.
PIECE = 10_000

# What a task left at the destination, half-written or copied with a folder, may be as new as the end of the task; a day
# covers clocks that differ.
SWEEP_DOUBT_NS = DAY * NS_PER_SECOND


class Tally(NamedTuple):
    """The numbers of paths of a task that arrived, that will be retried, and that are gone from disk meanwhile."""

    arrived: int = 0
    returned: int = 0
    gone: int = 0

    def __add__(self, other: object) -> Tally:
        assert isinstance(other, Tally)
        return Tally(*(mine + theirs for mine, theirs in zip(self, other)))


class TaskResult:
    """Records the outcome of one ended task in the trie, path by path.

    Args:
        number, items: The task's.
        now_ns: When this is recorded.
        ended_at_ns: When the task ended by Globus's clock, if known: what it left at the destination has such times,
            and our clock may be days behind.
        recheck: Returns what a path is now.
    """

    def __init__(
        self,
        trie: PathTrie,
        number: int,
        items: Iterable[Item],
        *,
        now_ns: int,
        recheck: Recheck,
        ended_at_ns: int = 0,
    ) -> None:
        self._trie = trie
        self._number = number
        self._items = list(items)
        self._now_ns = now_ns
        self._latest_ns = max(now_ns, ended_at_ns)
        self._recheck = recheck

    def count_files(self) -> int:
        """The number of files, without empty folders, that the task carries. Cost: reads every folder it touches."""
        return sum(
            name != FOLDER_ITSELF
            for folder_path, names in touched_folders(self._trie, self._items)
            for name in carried_names(self._trie.folder(folder_path), names, self._number)
        )

    def mark_failed(self, failures: Iterable[tuple[str, str]]) -> tuple[Tally, list[tuple[str, str]]]:
        """Mark paths that Globus skipped, each (rel_path, code), as to be retried.

        Returns:
            The tally, and the paths that still exist with their codes: what is gone was rightly skipped.
        """
        tally, still_there = Tally(), []
        ordered = sorted(set(failures), key=lambda failure: split(failure[0]))
        for folder_path, group in groupby(ordered, key=lambda failure: split(failure[0])[0]):
            codes = {split(rel_path)[1]: code for rel_path, code in group}
            tally += self._close_folder(folder_path, set(codes), codes, has_arrived=False)
            retries = self._trie.folder(folder_path).retries
            still_there += [
                (join(folder_path, name), code)
                for name, code in codes.items()
                if name in retries and retries[name].task == self._number
            ]
        for rel_path, code in ordered:
            # Even if Globus does not call it a folder: an item that it could not read has no type.
            if rel_path not in self._trie:
                continue
            below = Tally()
            for folder_path in self._trie.below(rel_path):
                below += self._close_folder(folder_path, None, code, has_arrived=False)
            tally += below
            if below.returned:
                still_there.append((rel_path, code))
        return tally, still_there

    def mark_delivered(self, rel_paths: Iterable[str]) -> Tally:
        """Mark files that have arrived although their task failed."""
        tally = Tally()
        remaining = iter(rel_paths)
        # Globus lists them in order of arrival. Sorted piece by piece, they are one write per folder and piece.
        while piece := sorted(map(split, islice(remaining, PIECE))):
            for folder_path, group in groupby(piece, key=lambda pair: pair[0]):
                names = {name for _, name in group}
                tally += self._close_folder(folder_path, names, "", has_arrived=True)
        return tally

    def close(self, *, has_arrived: bool, code: str = "", is_counted: bool = True) -> Tally:
        """Mark everything that the task still carries; no folder is carried by it any more.

        Args:
            has_arrived: Whether it was delivered; otherwise it will be retried.
            code: Why it was not.
            is_counted: Whether this counts as a failed attempt of each path.
        """
        tally = Tally()
        for folder_path, names in touched_folders(self._trie, self._items):
            tally += self._close_folder(folder_path, names, code, has_arrived=has_arrived, is_counted=is_counted)
        return tally

    def withdraw(self) -> None:
        """Take back a prepared task that Globus has not accepted: its paths are as they were before."""
        for folder_path, names in touched_folders(self._trie, self._items):
            folder = self._trie.folder(folder_path)
            for name in carried_names(folder, names, self._number):
                del folder.in_flight[name]
            if folder.carried_by == self._number:
                folder.carried_by = 0
            if names is None and not (folder.delivered or folder.in_flight or folder.retries):
                folder.folders.clear()  # unknown again, so that it can be sent whole again
            self._trie.put(folder_path, folder)

    def _close_folder(
        self,
        folder_path: str,
        names: set[str] | None,
        code: str | Mapping[str, str],
        *,
        has_arrived: bool,
        is_counted: bool = True,
    ) -> Tally:
        folder = self._trie.folder(folder_path)
        ours = carried_names(folder, names, self._number)
        ends_carrying = names is None and folder.carried_by == self._number
        if not ours and not ends_carrying:
            return Tally()
        tally = Tally()
        for name in ours:
            one_code = code if isinstance(code, str) else code[name]
            tally += self._close_path(folder, folder_path, name, one_code, has_arrived, is_counted)
        if ends_carrying:
            folder.carried_by = 0
            folder.verify_until_ns = max(folder.verify_until_ns, self._latest_ns + SWEEP_DOUBT_NS)
        self._trie.put(folder_path, folder)
        return tally

    def _close_path(
        self, folder: Folder, folder_path: str, name: str, code: str, has_arrived: bool, is_counted: bool
    ) -> Tally:
        flying = folder.in_flight.pop(name)
        try:
            seen = self._recheck(folder_path, name)
        except OSError:  # it cannot be read now; the scan reports that
            seen = flying.fingerprint
        if seen is None:
            folder.forget(name)
            folder.verify_until_ns = max(folder.verify_until_ns, flying.mtime_ns, self._latest_ns + SWEEP_DOUBT_NS)
            return Tally(gone=1)
        if has_arrived and seen == flying.fingerprint:
            folder.delivered[name] = Delivered(*flying.fingerprint, self._latest_ns, self._number)
            folder.retries.pop(name, None)
            return Tally(arrived=1)
        # If it vanishes before it is retried, what is new under its name must be compared with what was left there.
        folder.verify_until_ns = max(folder.verify_until_ns, flying.mtime_ns, self._latest_ns + SWEEP_DOUBT_NS)
        earlier = folder.retries.get(name)
        # A file that changed in transit has not failed: its attempts start again.
        is_failure = is_counted and not has_arrived
        attempts = (earlier.attempts if earlier and earlier.fingerprint == flying.fingerprint else 0) + is_failure
        folder.delivered.pop(name, None)
        folder.retries[name] = Retry(
            *flying.fingerprint,
            attempts if is_failure else 0,
            self._now_ns + pause_ns(attempts) if is_failure else 0,
            code if not has_arrived else CHANGED,
            self._number,
        )
        return Tally(returned=1)
