"""One folder's record: as it lies on the shelf, packed in columns (Record), and name by name (Folder). Pure.

To keep one thing more of a delivered path, append a field to Delivered and to Record, each with a default, and name it
in `Record.columns` and `Folder.pack`. Then raise store.FORMAT_VERSION, with a step in store.UPGRADES. A stored record
that lacks the field is given it by `Record.from_builtins`; schema checks the column like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.datastore.columns import SEPARATOR, Column, pack_column, pack_columns, unpack_column
from autotransfer.datastore.evidence import ASSUMED, FOUND

Row = TypeVar("Row")

# (mtime in nanoseconds, size in bytes): what must stay the same for a file to count as unchanged.
Fingerprint = tuple[int, int]

# An empty folder has no content: once made, it is not sent again because its own mtime moved.
EMPTY_FOLDER: Fingerprint = (0, 0)

# The code of a retry that goes again as it went before: it was new, and its task may never have seen it.
NOT_LISTED = "NOT_LISTED"

# The code of a retry of a file that changed under way. So often in a row that is no failure.
CHANGED = "CHANGED_UNDER_TRANSFER"
FREE_CHANGES = 3

# Stands for a ctime_lag_ns that was not observed; no file system has times so far apart.
LAG_UNKNOWN = 1 << 62


def has_moved(recorded_lag_ns: int, lag_ns: int) -> bool:
    """Whether a ctime has moved although the mtime is as before; False where it was not observed then."""
    return recorded_lag_ns not in (LAG_UNKNOWN, lag_ns)


class Delivered(NamedTuple):
    """A path that has arrived: its fingerprint before the transfer, when that was recorded, and its task's number.

    `task` is 0 where a person said so with set_time.py; `transferred_at_ns` is then the time they named. `evidence` is
    how it is known to have arrived (see evidence). `ctime_lag_ns` is ctime - mtime, observed with the fingerprint:
    contents that change while size and mtime are put back, or another file renamed over this one, move the ctime.
    """

    mtime_ns: int
    size_bytes: int
    transferred_at_ns: int
    task: int
    evidence: int = FOUND
    ctime_lag_ns: int = LAG_UNKNOWN

    @property
    def fingerprint(self) -> Fingerprint:
        return (self.mtime_ns, self.size_bytes)


class InFlight(NamedTuple):
    """A path that a task carries, with the fingerprint and ctime lag observed before that task was submitted."""

    mtime_ns: int
    size_bytes: int
    task: int
    ctime_lag_ns: int = LAG_UNKNOWN

    @property
    def fingerprint(self) -> Fingerprint:
        return (self.mtime_ns, self.size_bytes)


class Retry(NamedTuple):
    """A path that will be retried, compared by checksum: what its last task left at the destination is not known.

    Args:
        attempts: How often it has failed with this fingerprint; or changed under way, in a row.
        not_before_ns: When the next attempt is due.
        code: Why the last one failed.
        task: The number of that task.
    """

    mtime_ns: int
    size_bytes: int
    attempts: int
    not_before_ns: int
    code: str
    task: int

    @property
    def fingerprint(self) -> Fingerprint:
        return (self.mtime_ns, self.size_bytes)

    @property
    def failures(self) -> int:
        """How many of its attempts count as failures; with two of them it is a finding."""
        return max(0, self.attempts - FREE_CHANGES) if self.code == CHANGED else self.attempts


class Entries(NamedTuple):
    """Paths of one folder in columns: their names, joined by SEPARATOR, fingerprints and ctime lags in that order."""

    names: str
    mtimes_ns: Column
    sizes_bytes: Column
    ctime_lags_ns: Column

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Name to fingerprint."""
        names = names_in(self.names)
        columns = (unpack_column(column, len(names)) for column in (self.mtimes_ns, self.sizes_bytes))
        return dict(zip(names, zip(*columns)))

    def lags_ns(self) -> dict[str, int]:
        """Name to ctime lag."""
        names = names_in(self.names)
        return dict(zip(names, unpack_column(self.ctime_lags_ns, len(names))))


class Record(NamedTuple):
    """What the shelf holds of one folder, where it is stored as a plain tuple of builtins: about 30 bytes a path.

    Args:
        names: Of what was delivered, joined by SEPARATOR; the columns are in the same order.
        folders: Names of the folders below it that have, or may have, records of their own; sorted, joined alike.
        in_flight: (names, mtimes_ns, sizes_bytes, tasks, ctime_lags_ns) of what tasks carry, or () for nothing.
        retries: Name to the fields of Retry. Not columns: few paths fail.
        verify_until_ns: A path that is new here with an mtime up to this one may already lie at the destination with
            another content (its record was dropped, or a folder item swept it up), so it is compared by checksum.
        carried_by: The number of the task whose folder item carries everything here, or 0. What appears in the
            meantime waits.
    """

    names: str = ""
    mtimes_ns: Column = 0
    sizes_bytes: Column = 0
    transferred_at_ns: Column = 0
    tasks: Column = 0
    folders: str = ""
    in_flight: tuple[Any, ...] = ()
    retries: dict[str, tuple[Any, ...]] = {}  # noqa: RUF012 - nothing changes it
    verify_until_ns: int = 0
    carried_by: int = 0
    evidence: Column = 0
    ctime_lags_ns: Column = 0

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns beside `names`, in the order of Delivered's fields."""
        return (
            *(self.mtimes_ns, self.sizes_bytes, self.transferred_at_ns, self.tasks),
            *(self.evidence, self.ctime_lags_ns),
        )

    @property
    def delivered_entries(self) -> Entries:
        return Entries(self.names, self.mtimes_ns, self.sizes_bytes, self.ctime_lags_ns)

    @property
    def in_flight_entries(self) -> Entries:
        names, mtimes_ns, sizes_bytes, _, ctime_lags_ns = self.in_flight or ("", 0, 0, 0, 0)
        return Entries(names, mtimes_ns, sizes_bytes, ctime_lags_ns)

    @property
    def folder_names(self) -> list[str]:
        return names_in(self.folders)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing in the folder is in flight or will be retried."""
        return not (self.in_flight or self.retries or self.carried_by)

    def recorded_names(self) -> set[str]:
        """The names of everything that is recorded: files and folders, delivered, in flight or to be retried."""
        joined = (self.names, self.folders, self.in_flight_entries.names)
        return set(self.retries).union(*map(names_in, joined))

    def single_state(self) -> Entries | None:
        """What the folder must hold to be unchanged, in one piece; None when it has no files or they are in two states.

        Cost: no name or column is unpacked. It is the first question of a scan about every folder.
        """
        if self.retries or bool(self.names) is bool(self.in_flight):
            return None
        return self.delivered_entries if self.names else self.in_flight_entries

    def fingerprints(self) -> dict[str, Fingerprint]:
        """The fingerprints of what was delivered and of what is in flight; the latter, which is newer, wins."""
        return {**self.delivered_entries.fingerprints(), **self.in_flight_entries.fingerprints()}

    def lags_ns(self) -> dict[str, int]:
        """The ctime lags of the same."""
        return {**self.delivered_entries.lags_ns(), **self.in_flight_entries.lags_ns()}

    def with_evidence_at_most(self, most: int, names: Container[str]) -> Record:
        """The same with the evidence of these names no stronger than that."""
        kinds = zip(names_in(self.names), unpack_column(self.evidence, len(names_in(self.names))))
        return self._replace(evidence=pack_column([min(kind, most) if name in names else kind for name, kind in kinds]))

    @classmethod
    def from_builtins(cls, value: Sequence[Any]) -> Record:
        """The record from the shelf, where `tuple(record)` was stored, by this or an earlier format."""
        record = cls(*value)
        if len(value) == len(cls._fields):
            return record
        if isinstance(record.in_flight, dict):  # format 1
            record = record._replace(in_flight=pack_in_flight(record.in_flight))
        return record._with_evidence()

    def _with_evidence(self) -> Record:
        """A record of format 2 or older, which kept none: found, since contents were not proved equal, or assumed."""
        tasks = unpack_column(self.tasks, len(names_in(self.names)))
        flying = (*self.in_flight[:4], LAG_UNKNOWN) if self.in_flight else ()
        return self._replace(
            in_flight=flying,
            evidence=pack_column([FOUND if task else ASSUMED for task in tasks]),
            ctime_lags_ns=LAG_UNKNOWN if tasks else 0,
        )

    def given_to(self, task: int) -> Record:
        """The same with the folder, and all that is in flight in it, carried by one task; 0 takes it out of flight."""
        flying = (*self.in_flight[:3], task, self.in_flight[4]) if task and self.in_flight else ()
        return self._replace(in_flight=flying, carried_by=task)


class Folder:
    """A folder's record name by name, to be changed. The fields that are not explained here are those of Record.

    Attributes:
        delivered, in_flight, retries: Name to record. A name may be in flight and in one of the others.
        folders: Names of folders.
    """

    __slots__ = ("carried_by", "delivered", "folders", "in_flight", "retries", "verify_until_ns")

    def __init__(self) -> None:
        self.delivered: dict[str, Delivered] = {}
        self.in_flight: dict[str, InFlight] = {}
        self.retries: dict[str, Retry] = {}
        self.folders: set[str] = set()
        self.verify_until_ns = 0
        self.carried_by = 0

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing worth keeping."""
        return not any(getattr(self, field) for field in self.__slots__)

    def all_names(self) -> set[str]:
        """The names of everything that is recorded, without that of an empty folder's entry for itself."""
        return {*self.delivered, *self.in_flight, *self.retries, *self.folders} - {FOLDER_ITSELF}

    def forget(self, name: str) -> None:
        """Drop what is recorded of a name; should it appear again, it is compared by checksum."""
        for records in (self.delivered, self.retries):
            record = records.pop(name, None)
            if record is not None:
                self.verify_until_ns = max(
                    self.verify_until_ns, record.mtime_ns, getattr(record, "transferred_at_ns", 0)
                )

    def pack(self) -> Record:
        """The folder for the shelf."""
        columns = pack_columns(self.delivered.values(), len(Delivered._fields))
        mtimes_ns, sizes_bytes, transferred_at_ns, tasks, evidence, ctime_lags_ns = columns
        return Record(
            names=SEPARATOR.join(self.delivered),
            mtimes_ns=mtimes_ns,
            sizes_bytes=sizes_bytes,
            transferred_at_ns=transferred_at_ns,
            tasks=tasks,
            folders=SEPARATOR.join(sorted(self.folders)),
            in_flight=pack_in_flight(self.in_flight),
            retries={name: tuple(record) for name, record in self.retries.items()},
            verify_until_ns=self.verify_until_ns,
            carried_by=self.carried_by,
            evidence=evidence,
            ctime_lags_ns=ctime_lags_ns,
        )

    @classmethod
    def unpack(cls, record: Record) -> Folder:
        """The folder that `pack` packed."""
        folder = cls()
        folder.delivered = dict(_rows(record.names, record.columns, Delivered._make))
        if record.in_flight:
            names, *columns = record.in_flight
            folder.in_flight = dict(_rows(names, columns, InFlight._make))
        folder.retries = {name: Retry(*fields) for name, fields in record.retries.items()}
        folder.folders = set(names_in(record.folders))
        folder.verify_until_ns = record.verify_until_ns
        folder.carried_by = record.carried_by
        return folder


def pack_in_flight(in_flight: Mapping[str, Sequence[int]]) -> tuple[Any, ...]:
    """What is in flight, by name, as Record holds it."""
    columns = pack_columns((InFlight(*fields) for fields in in_flight.values()), len(InFlight._fields))
    return (SEPARATOR.join(in_flight), *columns) if in_flight else ()


def names_in(joined: str) -> list[str]:
    """The names that were joined by SEPARATOR."""
    return joined.split(SEPARATOR) if joined else []


def _rows(names: str, columns: Sequence[Column], make: Callable[[Iterable[int]], Row]) -> Iterator[tuple[str, Row]]:
    """Each name with its numbers, made into a row."""
    each = names_in(names)
    return zip(each, map(make, zip(*(unpack_column(column, len(each)) for column in columns))))
