"""What an ended task means for its paths: delivered, to be retried, or gone. Pure: it changes a trie, no files.

A path counts as delivered only when it still is what was observed before the task was submitted. If it changed while
the task was under way, the destination may hold either content, so it is retried, compared by checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import NamedTuple, Optional, Union

from autotransfer.common.paths import FOLDER_ITSELF, join, split
from autotransfer.common.times import DAY, HOUR, NS_PER_SECOND
from autotransfer.datastore.evidence import COUNTED, FOUND, PROVED, TRANSFERRED, VERIFIED
from autotransfer.datastore.record import (
    CHANGED,
    LAG_UNKNOWN,
    NOT_LISTED,
    Delivered,
    Fingerprint,
    Folder,
    InFlight,
    Retry,
)
from autotransfer.datastore.tasks import Item
from autotransfer.datastore.trie import PathTrie
from autotransfer.plan.in_flight import carried_names, touched_folders
from autotransfer.transfer.task_status import pause_ns

# (folder, name) -> the path's fingerprint now and its ctime - mtime, or None when it is gone; OSError when it cannot be
# read.
Recheck = Callable[[str, str], Optional[tuple[Fingerprint, int]]]

# What becomes of a path: the evidence of its delivery, or the code with which it is retried.
Fate = Union[int, str]


class Carried(NamedTuple):
    """What is decided about: a path that the task carried.

    Args:
        is_known: Whether an earlier version of it was recorded, so that it was modified.
        is_item: Whether it was an item of its own, not in a folder that was.
        last_code: Why it failed before, as it is now, or that its copy has another size; or "".
        attempts: How often it failed, as it is now.
    """

    name: str
    is_known: bool
    is_item: bool
    last_code: str
    attempts: int = 0


Decide = Callable[[Carried], Fate]
SIZE_DIFFERS, NOT_COPIED, NOT_SEEN = "SIZE_DIFFERS", "NOT_COPIED", "NOT_SEEN"

# What a transfer node does that sees a file as it was a moment ago. It passes, so the pauses begin one attempt later.
OUT_OF_DATE = (SIZE_DIFFERS, NOT_COPIED, NOT_SEEN, NOT_LISTED)

# Of these the number of bytes that was copied is known.
COPIED = (TRANSFERRED, VERIFIED)

MOST_CHANGED_PAUSE_NS = HOUR * NS_PER_SECOND

# What a task left at the destination, half-written or carried by a folder item, may be as new as its end; a day covers
# clocks that differ.
SWEEP_DOUBT_NS = DAY * NS_PER_SECOND


class Tally(NamedTuple):
    """How many paths of a task were delivered, will be retried, and are gone from disk."""

    arrived: int = 0
    returned: int = 0
    gone: int = 0

    def __add__(self, other: object) -> Tally:
        assert isinstance(other, Tally)
        return Tally(*(mine + theirs for mine, theirs in zip(self, other)))


def _always(fate: Fate) -> Decide:
    return lambda path: fate


def _by_name(fates: Mapping[str, Fate]) -> Decide:
    return lambda path: fates[path.name]


class TaskResult:
    """Records the outcome of one ended task in the trie, path by path.

    Args:
        trie: Changed by every call but `carried_files`, `names_in` and `is_there`.
        number: The task's.
        items: Its items.
        now_ns: When this is recorded.
        ended_at_ns: When the task ended by Globus's clock, where that is known: what it left at the destination carries
            such times, and our clock may be days behind.
        recheck: Reads what a path is now.
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

    def carried_files(self) -> int:
        """How many files, not folders, the task carries. Cost: reads every record that it touches."""
        return sum(
            name != FOLDER_ITSELF
            for folder_path, names in touched_folders(self._trie, self._items)
            for name in carried_names(self._trie.folder(folder_path), names, self._number)
        )

    def names_in(self, folder_path: str) -> tuple[set[str], set[str]]:
        """The files in a folder that the task still has to account for, and the folders in it."""
        folder = self._trie.folder(folder_path)
        files = {*carried_names(folder, None, self._number), *self._counted(folder, None)} - {FOLDER_ITSELF}
        return files, folder.folders

    def is_there(self, folder_path: str, name: str) -> bool:
        """Whether a file of this name is recorded, or on disk; True when that cannot be read."""
        folder = self._trie.folder(folder_path)
        if name in folder.delivered or name in folder.in_flight or name in folder.retries:
            return True
        try:
            return self._recheck(folder_path, name) is not None
        except OSError:
            return True

    def mark_failed(self, failures: Mapping[str, str]) -> tuple[Tally, int, dict[str, str]]:
        """Have paths retried that Globus gave up, rel_path to code; a folder's stands for everything below it.

        Returns:
            The tally; how many of these the task carried, or carried something below; and those of them that are still
            there: what vanished was rightly given up.
        """
        tally, matches, still_there = Tally(), 0, {}
        for folder_path, group in groupby(sorted(failures, key=split), key=lambda rel_path: split(rel_path)[0]):
            codes = {split(rel_path)[1]: failures[rel_path] for rel_path in group}
            one = self._close_folder(folder_path, set(codes), _by_name(codes))
            tally += one
            matches += one.returned + one.gone
            for name in self._retried(folder_path, codes) if one.returned else ():
                still_there[join(folder_path, name)] = codes[name]
        for rel_path, code in failures.items():
            # Also where Globus does not call it a folder: an item that could not be read has no type.
            one = Tally()
            for below in list(self._trie.below(rel_path)) if rel_path in self._trie else ():
                one += self._close_folder(below, None, _always(code))
            tally += one
            matches += one != Tally()
            if one.returned:
                still_there[rel_path] = code
        return tally, matches, still_there

    def _retried(self, folder_path: str, names: Iterable[str]) -> list[str]:
        retries = self._trie.folder(folder_path).retries
        return [name for name in names if name in retries and retries[name].task == self._number]

    def mark_listed(self, listed: Mapping[str, int | None], evidence: int) -> tuple[Tally, int]:
        """Mark files as delivered that a list of successful transfers names, rel_path to the bytes copied.

        A row of another size than was recorded has its path retried. One without a size is `transferred` until
        `settle_unsized`, since all their bytes can only be judged together.

        Returns:
            The tally, and the sum of the recorded sizes.
        """
        tally, size_bytes = Tally(), 0
        for folder_path, group in groupby(sorted(listed, key=split), key=lambda rel_path: split(rel_path)[0]):
            folder = self._trie.folder(folder_path)
            for rel_path in group:
                name = split(rel_path)[1]
                known: InFlight | Delivered = folder.in_flight.get(name) or folder.delivered[name]
                copied_bytes = listed[rel_path]
                fate: Fate = TRANSFERRED if copied_bytes is None else evidence
                if copied_bytes not in (None, known.size_bytes):
                    fate = SIZE_DIFFERS
                size_bytes += known.size_bytes
                copy = None if copied_bytes is None else self._copy(known, copied_bytes)
                tally += self._close_name(folder, folder_path, name, fate, copy, is_final=copied_bytes is not None)
            self._trie.put(folder_path, folder)
        return tally, size_bytes

    def settle_unsized(self, fate: Fate) -> Tally:
        """Decide about what was listed without a size."""
        tally = Tally()
        for folder_path, _ in touched_folders(self._trie, self._items):
            folder = self._trie.folder(folder_path)
            unsized = [
                name
                for name, record in folder.delivered.items()
                if record.task == self._number and record.evidence == TRANSFERRED and name not in folder.in_flight
            ]
            for name in unsized:
                tally += self._close_delivered(folder, name, fate)
            if unsized:
                self._trie.put(folder_path, folder)
        return tally

    def mark_counted(self) -> Tally:
        """Record as counted what the task still carries and no earlier version is known of; it can be sent again."""
        tally = Tally()
        for folder_path, names in touched_folders(self._trie, self._items):
            folder = self._trie.folder(folder_path)
            delivered = folder.delivered
            ours = carried_names(folder, names, self._number)
            fates = {
                name: VERIFIED if name == FOLDER_ITSELF else COUNTED
                for name in ours
                if name not in {**delivered, **folder.retries}
            }
            tally += self._close_folder(folder_path, set(fates), _by_name(fates), ends_carrying=names is None)
        return tally

    def close(self, decide: Decide) -> Tally:
        """Decide about everything that the task still has to account for, and end what it carries as a whole."""
        tally = Tally()
        for folder_path, names in touched_folders(self._trie, self._items):
            tally += self._close_folder(folder_path, names, decide, ends_carrying=names is None)
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

    def _counted(self, folder: Folder, names: set[str] | None) -> list[str]:
        return [
            name
            for name, record in folder.delivered.items()
            if record.task == self._number
            and record.evidence == COUNTED
            and name not in folder.in_flight
            and (names is None or name in names)
        ]

    def _close_folder(
        self, folder_path: str, names: set[str] | None, decide: Decide, *, ends_carrying: bool = False
    ) -> Tally:
        folder = self._trie.folder(folder_path)
        ours = carried_names(folder, names, self._number)
        counted = self._counted(folder, names)
        ends_carrying = ends_carrying and folder.carried_by == self._number
        if not (ours or counted or ends_carrying):
            return Tally()
        tally = Tally()
        for name in [*ours, *counted]:
            is_known = name in folder.delivered and name not in counted
            earlier = folder.retries.get(name)
            flying = folder.in_flight.get(name)
            has_failed = earlier is not None and flying is not None and earlier.fingerprint == flying.fingerprint
            last_code = earlier.code if earlier and has_failed else ""
            record = folder.delivered.get(name) if is_known else None
            if flying and record and record.task and record.size_bytes != flying.size_bytes:
                last_code = SIZE_DIFFERS  # the copy is known to have another size
            attempts = earlier.attempts if earlier and has_failed else 0
            fate = decide(Carried(name, is_known, names is not None, last_code, attempts))
            copy = record if fate in (NOT_COPIED, SIZE_DIFFERS) else None  # it is what it was
            if flying and fate in COPIED:
                copy = self._copy(flying, flying.size_bytes)
            tally += self._close_name(folder, folder_path, name, fate, copy)
        if ends_carrying:
            folder.carried_by = 0
            self._raise_doubt(folder, 0)
        self._trie.put(folder_path, folder)
        return tally

    def _close_name(
        self,
        folder: Folder,
        folder_path: str,
        name: str,
        fate: Fate,
        copy: Delivered | None,
        *,
        is_final: bool = True,
    ) -> Tally:
        """Decide about one path; what failed before is forgotten only with a final success.

        Args:
            copy: What is known to be at the destination. It is kept beside a retry: should Globus then find that what
                it sees has been copied already, another size shows that it sees an older version.
        """
        flying = folder.in_flight.get(name)
        if flying is None or flying.task != self._number:
            return self._close_delivered(folder, name, fate, copy)
        del folder.in_flight[name]
        try:
            seen = self._recheck(folder_path, name)
        except OSError:  # it cannot be read now; the scan reports that
            seen = flying.fingerprint, LAG_UNKNOWN
        if seen is None:
            folder.forget(name)
            self._raise_doubt(folder, flying.mtime_ns)
            return Tally(gone=1)
        is_same = seen[0] == flying.fingerprint
        if isinstance(fate, int) and is_same:
            if fate in PROVED and (flying.ctime_lag_ns == LAG_UNKNOWN or flying.ctime_lag_ns != seen[1]):
                fate = FOUND  # contents may have changed under way, with the times put back
            folder.delivered[name] = Delivered(
                *flying.fingerprint, self._latest_ns, self._number, fate, flying.ctime_lag_ns
            )
            if is_final:
                folder.retries.pop(name, None)
            return Tally(arrived=1)
        self._keep_copy(folder, name, copy)
        self._retry(
            folder,
            name,
            flying.fingerprint,
            CHANGED if isinstance(fate, int) or (fate in OUT_OF_DATE and not is_same) else fate,
        )
        return Tally(returned=1)

    def _copy(self, sent: InFlight | Delivered, size_bytes: int) -> Delivered:
        return Delivered(sent.mtime_ns, size_bytes, self._latest_ns, self._number, FOUND, sent.ctime_lag_ns)

    @staticmethod
    def _keep_copy(folder: Folder, name: str, copy: Delivered | None) -> None:
        folder.delivered.pop(name, None)
        if copy is not None:
            folder.delivered[name] = copy

    def _close_delivered(self, folder: Folder, name: str, fate: Fate, copy: Delivered | None = None) -> Tally:
        """The same for what was recorded as delivered while the list was being read."""
        record = folder.delivered[name]
        if isinstance(fate, int):
            folder.delivered[name] = record._replace(evidence=fate)
            folder.retries.pop(name, None)
            return Tally()
        self._keep_copy(folder, name, copy)
        self._retry(folder, name, record.fingerprint, fate)
        return Tally(arrived=-1, returned=1)

    def _retry(self, folder: Folder, name: str, fingerprint: Fingerprint, code: str) -> None:
        # Should it vanish before it is sent again, what is new under its name is compared with what was left there.
        self._raise_doubt(folder, fingerprint[0])
        earlier = folder.retries.get(name)
        is_same = earlier is not None and earlier.fingerprint == fingerprint
        if earlier and is_same and earlier.code == SIZE_DIFFERS and code != CHANGED:
            code = SIZE_DIFFERS  # whatever failed since, the copy still has another size
        is_counted = earlier is not None and (earlier.code == CHANGED if code == CHANGED else is_same)
        retry = Retry(*fingerprint, (earlier.attempts if earlier and is_counted else 0) + 1, 0, code, self._number)
        # A file that is written to without an end is sent less and less often, but once an hour.
        pause = min(pause_ns(retry.failures + 1), MOST_CHANGED_PAUSE_NS)
        if code != CHANGED:
            pause = pause_ns(retry.attempts - (code in OUT_OF_DATE))
        folder.retries[name] = retry._replace(not_before_ns=self._now_ns + pause)

    def _raise_doubt(self, folder: Folder, mtime_ns: int) -> None:
        folder.verify_until_ns = max(folder.verify_until_ns, mtime_ns, self._latest_ns + SWEEP_DOUBT_NS)
