"""The state of one path: delivered when and by which task, or why not. Reads the disk as a run would."""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from autotransfer.common.errors import reason
from autotransfer.common.paths import FOLDER_ITSELF, TEST_PREFIX, can_be_sent, join, split
from autotransfer.common.settings import Settings
from autotransfer.datastore.evidence import PROVED_WORDS, WORDS
from autotransfer.datastore.reader import Reader
from autotransfer.datastore.record import Delivered, Fingerprint, Folder, InFlight, Retry, has_moved
from autotransfer.datastore.store import MOUNTS
from autotransfer.datastore.tasks import AnyTask
from autotransfer.plan.compare import NEW, RETRY, SendRules, compare, send_rules
from autotransfer.plan.source_check import source_policy
from autotransfer.scan.folders import read_folder, walk
from autotransfer.scan.listing import Listing, Policy
from autotransfer.status.folders import NO_FILES, Amount, FolderState, delivery, folder_state

# The states of a path, as `--json` names them; that of a delivered one is its evidence (evidence.WORDS).
IN_FLIGHT, TOUCHED, TWIN = "in_flight", "touched", "twin"
NEW_FILE, MODIFIED, RETRYING = "new", "modified", "retrying"
BACKING_OFF, UNSETTLED, WAITING = "backing_off", "unsettled", "waiting"
EXCLUDED, SYMLINK, SPECIAL, UNSENDABLE, UNREADABLE = "excluded", "symlink", "special", "unsendable", "unreadable"
VANISHED, UNKNOWN = "vanished", "unknown"
# What ACCEPT calls what is on disk and never sent, by the state of a path.
ACCEPTED_AS = {EXCLUDED: "skipped", SYMLINK: "symlinks", SPECIAL: "special_files"}
MOST_NAMED = 20


class FileAnswer(NamedTuple):
    """The state of a file.

    Args:
        state: One of the words above.
        seen: Its mtime and size on disk now; None when it is not there, or could not be read.
        delivered, in_flight, retry: What is recorded of it.
        task: The task of the newest of these, if it is kept.
        why: For what cannot be sent: the reason in words.
        accepted: What is enough to delete the original by.
    """

    rel_path: str
    state: str
    seen: Fingerprint | None = None
    delivered: Delivered | None = None
    in_flight: InFlight | None = None
    retry: Retry | None = None
    task: AnyTask | None = None
    why: str = ""
    accepted: frozenset[str] = PROVED_WORDS

    @property
    def is_delivered(self) -> bool:
        """Whether what is on disk now was delivered, whatever the evidence."""
        return self.state in WORDS

    @property
    def is_safe(self) -> bool:
        """Whether what is on disk now is known well enough to have arrived that the original can be deleted."""
        return ACCEPTED_AS.get(self.state, self.state) in self.accepted


class FolderAnswer(NamedTuple):
    """The state of everything in a folder and below it, as it is on disk now.

    Args:
        is_on_disk: Whether the folder is there; if not, the amounts are those of the records.
        delivered: As recorded; `evidence` has the number of files by evidence, and those that were touched since.
        in_flight: A task carries them, perhaps an earlier version.
        unsent: Neither; `held` says how many of them are held back for what reason, the others go with the next run.
        vanished_files: Recorded, and no longer on disk.
        skipped: How many symlinks, special files and names that match EXCLUDE are there and never sent.
        errors: (rel_path, why) of the first paths that cannot be read or sent; `error_count` counts all.
        last_delivered_ns: When a task last delivered a part of it; 0: never.
        oldest_ns, oldest_path: The path that has waited longest, and its mtime.
        tasks: The numbers of the tasks that delivered it, or carry it; the newest MOST_NAMED.
        accepted: What is enough to delete the originals by.
    """

    rel_path: str
    is_on_disk: bool
    delivered: Amount = NO_FILES
    evidence: dict[str, int] = {}  # noqa: RUF012 - never changed
    in_flight: Amount = NO_FILES
    unsent: Amount = NO_FILES
    held: dict[str, int] = {}  # noqa: RUF012 - never changed
    vanished_files: int = 0
    skipped: dict[str, int] = {}  # noqa: RUF012
    errors: tuple[tuple[str, str], ...] = ()
    error_count: int = 0
    last_delivered_ns: int = 0
    oldest_ns: int = 0
    oldest_path: str = ""
    tasks: tuple[AnyTask, ...] = ()
    accepted: frozenset[str] = PROVED_WORDS

    @property
    def weak(self) -> dict[str, int]:
        """What stands against deleting it although it was delivered, or is never sent: how many, by its name."""
        return {name: count for name, count in {**self.evidence, **self.skipped}.items() if name not in self.accepted}

    @property
    def is_delivered(self) -> bool:
        """Whether everything that is on disk now, and is meant to be sent, was delivered, whatever the evidence."""
        return self.is_on_disk and not (self.in_flight.files or self.unsent.files or self.error_count)

    @property
    def is_safe(self) -> bool:
        """Whether everything that is on disk now is known well enough to have arrived to delete it here."""
        return self.is_delivered and not self.weak


def answer(
    settings: Settings,
    reader: Reader,
    root_fd: int,
    rel_path: str,
    *,
    clock_ns: Callable[[], int],
    accept: Iterable[str] = (),
    on_progress: Callable[[int], None] | None = None,
) -> FileAnswer | FolderAnswer:
    """The state of a path, judged as the next run would.

    Args:
        root_fd: SRC_DIR, open.
        rel_path: The path; "" is SRC_DIR.
        accept: What is enough to delete originals by, beside what is proved (settings.ACCEPTABLE).
    """
    rules = send_rules(settings, now_ns=clock_ns())
    wanted = source_policy(settings, reader.trie, reader.get(MOUNTS), root_fd)
    asking = _Asking(settings, reader, root_fd, clock_ns, on_progress, wanted, rules)
    answered = asking.folder("") if not rel_path else asking.path(rel_path)
    return answered._replace(accepted=PROVED_WORDS.union(accept))


class _Asking(NamedTuple):
    settings: Settings
    reader: Reader
    root_fd: int
    clock_ns: Callable[[], int]
    on_progress: Callable[[int], None] | None
    policy: Policy
    rules: SendRules

    def path(self, rel_path: str) -> FileAnswer | FolderAnswer:
        answered = self._recorded(rel_path)
        try:
            status = self._status(rel_path)
        except (FileNotFoundError, NotADirectoryError):
            return self._missing(answered)
        except OSError as error:
            return answered._replace(state=UNREADABLE, why=reason(error))
        if refusal := self._refusal(rel_path):
            return answered._replace(state=refusal[0], why=refusal[1])
        if stat.S_ISDIR(status.st_mode):
            return self.folder(rel_path)
        folder_path, name = split(rel_path)
        listing = self._listing(folder_path)
        if name in listing.files:
            return self._file(answered, listing, name)
        state, why = self._unlisted(listing, rel_path, status.st_mode)
        return answered._replace(state=state, why=why)

    def _status(self, rel_path: str) -> os.stat_result:
        if why := self.policy.why_missing(rel_path):
            raise OSError(errno.ENODEV, why)
        return os.lstat(os.path.join(self.settings.src_dir, rel_path))

    def _refusal(self, rel_path: str) -> tuple[str, str] | None:
        """The state and the reason of a path that is not sent whatever is there."""
        parts = rel_path.split("/")
        for part in parts:
            if part.startswith(TEST_PREFIX):
                return EXCLUDED, f"{part!r} is a name of test folders"
            if pattern := next((one for one in self.settings.exclude if fnmatch.fnmatchcase(part, one)), None):
                return EXCLUDED, f"{part!r} matches the pattern {pattern!r} of EXCLUDE"
        if all(map(can_be_sent, parts)):
            return None
        return UNSENDABLE, "Globus cannot carry its name; rename it"

    def _unlisted(self, listing: Listing, rel_path: str, mode: int) -> tuple[str, str]:
        """The state and the reason of what is on disk, but not among the files of its folder."""
        for path_error in listing.errors:
            if path_error.rel_path in (rel_path, listing.rel_path):
                return UNREADABLE, path_error.why
        if stat.S_ISLNK(mode):
            is_ignored = self.settings.symlinks == "ignore"
            return SYMLINK, "SYMLINKS is 'ignore'" if is_ignored else "it does not lead to a file"
        if not stat.S_ISREG(mode):
            return SPECIAL, "it is a device, a socket or a pipe"
        return UNREADABLE, "it changed while it was read; ask again"

    def _recorded(self, rel_path: str) -> FileAnswer:
        folder_path, name = split(rel_path)
        record = self.reader.trie.folder(folder_path)
        delivered, flying, retry = record.delivered.get(name), record.in_flight.get(name), record.retries.get(name)
        newest = flying or retry or delivered
        task = self.reader.task(newest.task) if newest else None
        return FileAnswer(rel_path, UNKNOWN, None, delivered, flying, retry, task)

    def _missing(self, answered: FileAnswer) -> FileAnswer | FolderAnswer:
        if answered.delivered or answered.in_flight or answered.retry:
            return answered._replace(state=VANISHED)
        if next(self.reader.trie.below(answered.rel_path), None) is not None:
            return self._gone_folder(answered.rel_path)
        return answered

    def _file(self, answered: FileAnswer, listing: Listing, name: str) -> FileAnswer:
        seen = listing.files[name]
        folder, is_known = _folder(self.reader, listing.rel_path)
        carried_by = folder.carried_by
        change = compare(listing._replace(files={name: seen}), folder, self.rules, is_known=is_known)
        answered = answered._replace(seen=seen)
        if name in change.outgoing:
            why = change.outgoing[name].why
            return answered._replace(state={NEW: NEW_FILE, RETRY: RETRYING}.get(why, MODIFIED))
        if change.backing_off:
            return answered._replace(state=BACKING_OFF)
        if change.unsettled:
            return answered._replace(state=UNSETTLED)
        if change.waiting:
            task = answered.task if answered.in_flight else self.reader.task(carried_by)
            return answered._replace(state=WAITING, task=task)
        delivered, flying = folder.delivered.get(name), folder.in_flight.get(name)  # a run may have committed meanwhile
        if flying is not None or delivered is None:
            return answered._replace(state=IN_FLIGHT)
        in_doubt = self.reader.doubts.among(listing.rel_path, (name,))
        return answered._replace(state=_evidence(delivered, listing, name, in_doubt), delivered=delivered)

    def _listing(self, rel_path: str) -> Listing:
        return read_folder(
            self.root_fd,
            rel_path,
            self.policy.excludes(),
            follow_links=self.policy.follow_links,
            clock_ns=self.clock_ns,
        )

    def folder(self, rel_path: str) -> FolderAnswer:
        adding = _Adding(self.reader, self.rules)
        for listing in walk(self.root_fd, self.policy, start=rel_path, clock_ns=self.clock_ns):
            adding.add(listing)
            if self.on_progress is not None:
                self.on_progress(adding.files)
        answered = adding.answer(rel_path)
        if not rel_path and not adding.files and not self.reader.trie.is_empty:
            return answered._replace(is_on_disk=False)  # records of a tree, and nothing there: a disk is not mounted
        return answered

    def _gone_folder(self, rel_path: str) -> FolderAnswer:
        total = FolderState()
        tasks: set[int] = set()
        for _, value in self.reader.folders(rel_path):
            total += folder_state(value, now_ns=self.rules.now_ns)
            tasks.update(delivery(value).tasks)
        return FolderAnswer(
            rel_path,
            False,
            total.delivered,
            total.evidence_by_word,
            total.in_flight,
            total.retrying,
            vanished_files=total.files,
            last_delivered_ns=total.last_delivered_ns,
            tasks=tuple(_newest(self.reader, tasks)),
        )


class _Adding:
    """Adds up the folders below one."""

    def __init__(self, reader: Reader, rules: SendRules) -> None:
        self._reader = reader
        self._rules = rules
        self.files = 0
        self._delivered = self._in_flight = self._unsent = Amount()
        self._vanished = self._error_count = self._last_ns = self._oldest_ns = 0
        self._evidence: Counter[str] = Counter()
        self._oldest_path = ""
        self._held = {UNSETTLED: 0, WAITING: 0, BACKING_OFF: 0}
        self._skipped: Counter[str] = Counter()
        self._errors: list[tuple[str, str]] = []
        self._tasks: set[int] = set()

    def add(self, listing: Listing) -> None:
        self.files += len(listing.files)
        self._count_skipped(listing)
        folder, is_known = _folder(self._reader, listing.rel_path)
        names = {*folder.delivered, *folder.in_flight, *folder.retries}
        change = compare(listing, folder, self._rules, is_known=is_known)
        if listing.is_readable:
            self._vanished += len(names - {*listing.files, *listing.kept, FOLDER_ITSELF})
        self._held[UNSETTLED] += change.unsettled
        self._held[WAITING] += change.waiting
        self._held[BACKING_OFF] += change.backing_off
        in_doubt = self._reader.doubts.among(listing.rel_path, listing.files)
        for name, seen in listing.files.items():
            self._add_file(listing, name, seen, folder, in_doubt)

    def _add_file(
        self, listing: Listing, name: str, seen: Fingerprint, folder: Folder, in_doubt: frozenset[str]
    ) -> None:
        record = folder.delivered.get(name)
        flying = folder.in_flight.get(name)
        amount = Amount(1, seen[1])
        lag_ns = listing.ctime_lags_ns.get(name, 0)
        if (
            flying is None
            and record is not None
            and name not in folder.retries
            and self._rules.is_same(record, seen, lag_ns)
        ):
            self._delivered += amount
            self._evidence[_evidence(record, listing, name, in_doubt)] += 1
            if record.task:
                self._tasks.add(record.task)
                self._last_ns = max(self._last_ns, record.transferred_at_ns)
            return
        if flying is not None:
            self._in_flight += amount
            self._tasks.add(flying.task)
        else:
            self._unsent += amount
        if name != FOLDER_ITSELF and (not self._oldest_path or seen[0] < self._oldest_ns):
            self._oldest_ns, self._oldest_path = seen[0], join(listing.rel_path, name)

    def _count_skipped(self, listing: Listing) -> None:
        self._skipped["symlinks"] += listing.links
        self._skipped["special_files"] += listing.special_files
        # What was not there when it was read may be anything.
        unread = [*listing.errors, *listing.moved]
        paths = {error.rel_path for error in unread}
        self._skipped["skipped"] += sum(join(listing.rel_path, name) not in paths for name in listing.kept)
        self._error_count += len(unread)
        for error in unread[: MOST_NAMED - len(self._errors)]:
            self._errors.append((error.rel_path, error.why))

    def answer(self, rel_path: str) -> FolderAnswer:
        return FolderAnswer(
            rel_path,
            True,
            self._delivered,
            dict(self._evidence),
            self._in_flight,
            self._unsent,
            self._held,
            self._vanished,
            {what: count for what, count in self._skipped.items() if count},
            tuple(self._errors),
            self._error_count,
            self._last_ns,
            self._oldest_ns,
            self._oldest_path,
            tuple(_newest(self._reader, self._tasks)),
        )


def _folder(reader: Reader, rel_path: str) -> tuple[Folder, bool]:
    """What is recorded of a folder, or what it inherits; and whether it has a record."""
    record = reader.trie.record(rel_path)
    return reader.trie.folder_of(rel_path, record), record is not None


def _evidence(record: Delivered, listing: Listing, name: str, in_doubt: frozenset[str]) -> str:
    """The evidence of a path that is as it was delivered; TWIN where that is in doubt, TOUCHED if its ctime moved."""
    if name in in_doubt:
        return TWIN
    is_touched = name != FOLDER_ITSELF and has_moved(record.ctime_lag_ns, listing.ctime_lags_ns.get(name, 0))
    return TOUCHED if is_touched else WORDS[record.evidence]


def _newest(reader: Reader, numbers: set[int]) -> Iterator[AnyTask]:
    for number in sorted(numbers - {0}, reverse=True)[:MOST_NAMED]:
        task = reader.task(number)
        if task is not None:
            yield task
