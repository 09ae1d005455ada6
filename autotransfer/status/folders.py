"""What is recorded of the paths in one folder, or in a whole tree; and the delivered paths one by one.

A folder in which nothing is in flight or retried is added up from its columns, without a record for each path.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import add
from typing import NamedTuple

from autotransfer.common.paths import FOLDER_ITSELF, join
from autotransfer.datastore.columns import unpack_column
from autotransfer.datastore.evidence import PROVED, WORDS
from autotransfer.datastore.reader import Reader
from autotransfer.datastore.record import Folder, Record, names_in


class Amount(NamedTuple):
    """A number of files, empty folders among them, and their bytes."""

    files: int = 0
    size_bytes: int = 0

    def __add__(self, other: object) -> Amount:
        assert isinstance(other, Amount)
        return Amount(self.files + other.files, self.size_bytes + other.size_bytes)

    def without(self, part: Amount) -> Amount:
        """The difference, never below zero: a run may have changed the records meanwhile."""
        return Amount(max(0, self.files - part.files), max(0, self.size_bytes - part.size_bytes))


NO_FILES = Amount()


class Delivery(NamedTuple):
    """The delivered paths of one folder as columns; cheaper than a record for each."""

    names: list[str]
    mtimes_ns: list[int]
    sizes_bytes: list[int]
    transferred_at_ns: list[int]
    tasks: list[int]
    evidence: list[int]
    ctime_lags_ns: list[int]


FAILING, RETRYING, IN_FLIGHT = "failing", "retrying", "in_flight"
DELIVERED, UNPROVED, ASSUMED, EMPTY = "delivered", "unproved", "assumed", "empty"
STANDINGS = (FAILING, RETRYING, IN_FLIGHT, DELIVERED, UNPROVED, ASSUMED, EMPTY)
NO_EVIDENCE = (0, 0, 0, 0, 0, 0)


class FolderState(NamedTuple):
    """What is recorded of the paths in one folder, or of those in many. Each path counts once.

    Args:
        delivered: Nothing more is to be done about these.
        evidence: How many of them have which evidence, in the order of evidence.WORDS.
        in_flight: A task carries them; an earlier version of some may have been delivered.
        retrying: Will be retried; `failing_files` failed more than once, `backing_off_files` wait for their next try.
        last_delivered_ns: When a task last delivered one; 0: never.
        oldest_ns: The mtime of the oldest that is in flight or will be retried; 0: there is none.
    """

    delivered: Amount = Amount()
    evidence: tuple[int, ...] = NO_EVIDENCE
    in_flight: Amount = Amount()
    retrying: Amount = Amount()
    failing_files: int = 0
    backing_off_files: int = 0
    last_delivered_ns: int = 0
    oldest_ns: int = 0

    def __add__(self, other: object) -> FolderState:
        assert isinstance(other, FolderState)
        return FolderState(
            self.delivered + other.delivered,
            tuple(map(add, self.evidence, other.evidence)),
            self.in_flight + other.in_flight,
            self.retrying + other.retrying,
            self.failing_files + other.failing_files,
            self.backing_off_files + other.backing_off_files,
            max(self.last_delivered_ns, other.last_delivered_ns),
            min(filter(None, (self.oldest_ns, other.oldest_ns)), default=0),
        )

    @property
    def assumed_files(self) -> int:
        return self.evidence[WORDS.index(ASSUMED)]

    @property
    def unproved_files(self) -> int:
        """How many of the delivered are neither verified nor equal."""
        return sum(count for kind, count in enumerate(self.evidence) if kind not in PROVED)

    @property
    def evidence_by_word(self) -> dict[str, int]:
        """How many of the delivered have which evidence, the strongest first; without zeros."""
        return {word: count for word, count in reversed(list(zip(WORDS, self.evidence))) if count}

    @property
    def files(self) -> int:
        return self.delivered.files + self.in_flight.files + self.retrying.files

    @property
    def size_bytes(self) -> int:
        return self.delivered.size_bytes + self.in_flight.size_bytes + self.retrying.size_bytes

    @property
    def standing(self) -> str:
        """One word for all of these: the first of STANDINGS that applies."""
        if self.failing_files:
            return FAILING
        if self.retrying.files:
            return RETRYING
        if self.in_flight.files:
            return IN_FLIGHT
        if not self.delivered.files:
            return EMPTY
        if self.assumed_files == self.delivered.files:
            return ASSUMED
        return UNPROVED if self.unproved_files else DELIVERED

    def without(self, part: FolderState) -> FolderState:
        """The difference. The moments stay: nobody knows which paths they came from."""
        return FolderState(
            self.delivered.without(part.delivered),
            tuple(max(0, count - less) for count, less in zip(self.evidence, part.evidence)),
            self.in_flight.without(part.in_flight),
            self.retrying.without(part.retrying),
            max(0, self.failing_files - part.failing_files),
            max(0, self.backing_off_files - part.backing_off_files),
            self.last_delivered_ns,
            self.oldest_ns,
        )


def delivery(record: Record) -> Delivery:
    """What was delivered, straight from a folder's columns."""
    names = names_in(record.names)
    return Delivery(names, *(unpack_column(column, len(names)) for column in record.columns))


def folder_state(record: Record, *, now_ns: int) -> FolderState:
    """The state of the paths in one folder."""
    if not record.is_at_rest:
        return _moving_state(Folder.unpack(record), now_ns=now_ns)
    if not record.names:
        return FolderState()
    columns = delivery(record)
    count = len(columns.names)
    if 0 not in columns.tasks:
        last_ns = max(columns.transferred_at_ns)
    else:
        last_ns = max((moment for moment, task in zip(columns.transferred_at_ns, columns.tasks) if task), default=0)
    delivered = Amount(count, sum(columns.sizes_bytes))
    return FolderState(delivered, _count_evidence(columns.evidence), last_delivered_ns=last_ns)


def _count_evidence(kinds: list[int]) -> tuple[int, ...]:
    return tuple(map(kinds.count, range(len(WORDS))))


def _moving_state(folder: Folder, *, now_ns: int) -> FolderState:
    flying = folder.in_flight
    retries = {name: record for name, record in folder.retries.items() if name not in flying}
    at_rest = [record for name, record in folder.delivered.items() if name not in flying and name not in retries]
    moments = [
        *(record.mtime_ns for name, record in flying.items() if name != FOLDER_ITSELF),
        *(record.mtime_ns for name, record in retries.items() if name != FOLDER_ITSELF),
    ]
    return FolderState(
        Amount(len(at_rest), sum(record.size_bytes for record in at_rest)),
        _count_evidence([record.evidence for record in at_rest]),
        Amount(len(flying), sum(record.size_bytes for record in flying.values())),
        Amount(len(retries), sum(record.size_bytes for record in retries.values())),
        sum(record.failures > 1 for record in retries.values()),
        sum(record.not_before_ns > now_ns for record in retries.values()),
        max((record.transferred_at_ns for record in folder.delivered.values() if record.task), default=0),
        min(moments, default=0),
    )


class TreeFolder(NamedTuple):
    """One folder: what is in it itself, and in it and everything below it. `depth` is 0 for SRC_DIR."""

    rel_path: str
    depth: int
    own: FolderState
    whole: FolderState


def tree(reader: Reader, *, now_ns: int) -> Iterator[TreeFolder]:
    """Every recorded folder, after all those in it, siblings in order of name; holds one branch in memory."""
    branch = [_opened(reader, "", now_ns)]
    while branch:
        rel_path, own, whole, names = branch[-1]
        name = next(names, None)
        if name is not None:
            branch.append(_opened(reader, join(rel_path, name), now_ns))
            continue
        branch.pop()
        yield TreeFolder(rel_path, len(branch), own, whole)
        if branch:
            above = branch[-1]
            branch[-1] = (above[0], above[1], above[2] + whole, above[3])


def _opened(reader: Reader, rel_path: str, now_ns: int) -> tuple[str, FolderState, FolderState, Iterator[str]]:
    record = reader.trie.record(rel_path) or Record()
    own = folder_state(record, now_ns=now_ns)
    return rel_path, own, own, iter(record.folder_names)


class DeliveredPath(NamedTuple):
    """One delivered path; an empty folder's ends in a slash. `task_id` is "" where it is assumed."""

    rel_path: str
    size_bytes: int
    mtime_ns: int
    delivered_at_ns: int
    task_id: str
    evidence: str


def delivered_paths(reader: Reader, top: str = "") -> Iterator[DeliveredPath]:
    """Every delivered path, by folder in the order of the keys, and by name in each; holds one folder at a time.

    Not those that will be retried, even where a copy of them is known.
    """
    for rel_path, record in reader.folders(top):
        columns = delivery(record)
        for name, mtime_ns, size_bytes, moment_ns, task, evidence, _ in sorted(zip(*columns)):
            if name in record.retries:
                continue
            path = join(rel_path, name) + "/" * (name == FOLDER_ITSELF)
            yield DeliveredPath(path, size_bytes, mtime_ns, moment_ns, reader.task_id(task), WORDS[evidence])
