"""Compares a folder's listing with its record: what is new, modified, to be retried, unsettled or gone. Pure."""

from __future__ import annotations

from typing import NamedTuple

from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.common.settings import Settings
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore.record import (
    CHANGED,
    NOT_LISTED,
    Delivered,
    Fingerprint,
    Folder,
    InFlight,
    Retry,
    has_moved,
)
from autotransfer.datastore.tasks import Item
from autotransfer.scan.listing import Listing

# Why a path is sent.
NEW, MODIFIED, OLDER, RETRY = "new", "modified", "modified to an older time", "retry"

# Why it is not.
UNCHANGED, UNSETTLED, WAITING, BACKING_OFF = "", "unsettled", "waiting", "backing_off"
CHECKSUM = "checksum"

# A longer pause was set while the clock was wrong.
LONGEST_PAUSE_NS = DAY * NS_PER_SECOND


class SendRules(NamedTuple):
    """When and how a change is sent.

    Args:
        settled_before_ns: The start of the scan less SETTLE_SECONDS; what was touched since then waits for a later run.
        settle_ns: SETTLE_SECONDS; a time further in the future is due to a wrong clock, and counts as settled.
        sync_level: The sync level of ordinary changes.
        preserve_timestamp: Whether copies get their source's mtime; if not, they have the time of arrival.
        now_ns: Retries that are due by now are sent.
        compares_ctime: Whether a path whose ctime alone has moved is modified.
        is_quick: Whether the scan skips known folders that seem unchanged.
        restored_at_ns: When a restore of the datastore was noticed, until what may have been sent since is compared.
    """

    settled_before_ns: int
    settle_ns: int
    sync_level: str
    preserve_timestamp: bool
    now_ns: int
    compares_ctime: bool = False
    is_quick: bool = False
    restored_at_ns: int = 0

    def is_settled(self, mtime_ns: int, *, seen_at_ns: int) -> bool:
        """Whether a path had not been touched for SETTLE_SECONDS when it was listed.

        The rule that nothing touched during the scan is trusted is from bup (index.py, tmax) and borg (cache.py,
        _write_files_cache).
        """
        return mtime_ns < self.settled_before_ns or mtime_ns > seen_at_ns + self.settle_ns

    def is_same(self, record: Delivered | InFlight, seen: Fingerprint, lag_ns: int) -> bool:
        """Whether what is recorded of a path is what is on disk."""
        return record.fingerprint == seen and not (self.compares_ctime and has_moved(record.ctime_lag_ns, lag_ns))


def send_rules(settings: Settings, *, now_ns: int) -> SendRules:
    """The rules of a run that scans now."""
    settle_ns = int(settings.settle_seconds * NS_PER_SECOND)
    return SendRules(
        *(now_ns - settle_ns, settle_ns, settings.sync_level, settings.preserve_timestamp, now_ns),
        compares_ctime=settings.compare == "ctime",
    )


class FolderChange(NamedTuple):
    """What is to be done about one folder.

    Args:
        folder: Its record, already without the names that are gone.
        outgoing: What is sent, by name, in the order of the listing.
        held: Why each other changed or new path is not sent in this run, by name: UNSETTLED, WAITING or BACKING_OFF.
        vanished: The number of recorded paths that are gone.
        taken_folders: Names of folders that a task under way carries as the files they were; all below them waits.
        is_whole: Whether everything here is new and settled, so that a folder item can carry it.
        is_dirty: Whether `folder` differs from what is stored.
    """

    rel_path: str
    folder: Folder
    outgoing: dict[str, Item]
    held: dict[str, str]
    vanished: int
    taken_folders: tuple[str, ...]
    is_whole: bool
    is_dirty: bool

    @property
    def size_bytes(self) -> int:
        """The size of everything that is sent."""
        return sum(item.size_bytes for item in self.outgoing.values())

    @property
    def unsettled(self) -> int:
        """The number of paths that were touched too recently."""
        return self._count(UNSETTLED)

    @property
    def waiting(self) -> int:
        """The number of changed or new paths that wait for a task under way."""
        return self._count(WAITING)

    @property
    def backing_off(self) -> int:
        """The number of failed paths that wait for their next attempt."""
        return self._count(BACKING_OFF)

    def _count(self, why: str) -> int:
        return sum(held == why for held in self.held.values())


def gone_folders(listing: Listing, folder: Folder) -> list[str]:
    """Names of recorded folders that are gone, sorted."""
    return sorted(folder.folders - {*listing.folders, *listing.kept}) if listing.is_readable else []


def compare(
    listing: Listing, folder: Folder, rules: SendRules, *, is_known: bool, taken: frozenset[str] = frozenset()
) -> FolderChange:
    """Decide what is to be done about each entry of a folder.

    Args:
        listing: The folder now.
        folder: Its record, which this call changes: names that are gone are dropped, folders are as listed. For a
            folder without a record, one that has only what it inherits.
        is_known: Whether there was a record.
        taken: Names of folders that are gone, but below which tasks under way still carry something: a file of such a
            name waits, and so does the folder itself if it is now empty.

    Returns:
        The change. Its outgoing paths are not in flight yet.
    """
    if not listing.is_readable:
        return FolderChange(listing.rel_path, folder, {}, {}, 0, (), False, False)
    outgoing: dict[str, Item] = {}
    held: dict[str, str] = {}
    for name, seen in listing.files.items():
        decision = _decide(name, seen, listing, folder, rules, taken)
        if isinstance(decision, Item):
            outgoing[name] = decision
        elif decision:
            held[name] = decision
    records = len(folder.delivered) + len(folder.retries)
    vanished = forget_vanished(listing, folder)
    present = {*listing.folders, *(folder.folders & listing.kept), *taken}
    is_dirty = (
        not is_known
        or len(folder.delivered) + len(folder.retries) != records
        or bool(gone_folders(listing, folder))
        or present != folder.folders
    )
    # A quick scan may skip known folders, and EXCLUDE others that a task still carries; a folder item would take over
    # what is recorded of them.
    may_be_skipped = {*listing.kept, *(listing.folders if rules.is_quick else ())}
    skips_folders = not folder.folders.isdisjoint(may_be_skipped)
    folder.folders = present
    is_whole = (
        bool(listing.rel_path)  # SRC_DIR itself is never sent whole: what is new at its top must not wait for it
        and not (folder.delivered or folder.retries or folder.in_flight or folder.carried_by or taken)
        # What is compared by checksum because its record was dropped is proved equal only as a file item.
        and not any(
            item.sync_level == CHECKSUM and (is_known or 0 < rules.restored_at_ns >= item.mtime_ns)
            for item in outgoing.values()
        )
        and not skips_folders
        and listing.is_plain
        and len(outgoing) == len(listing.files)
    )
    return FolderChange(
        listing.rel_path,
        folder,
        outgoing,
        held,
        vanished,
        tuple(name for name in listing.folders if name in folder.in_flight),
        is_whole,
        is_dirty,
    )


def _decide(
    name: str, seen: Fingerprint, listing: Listing, folder: Folder, rules: SendRules, taken: frozenset[str]
) -> Item | str:
    """How an entry is sent in this run, or why it is not."""
    record, flying = folder.delivered.get(name), folder.in_flight.get(name)
    lag_ns = listing.ctime_lags_ns.get(name, 0)
    if flying is not None:
        return UNCHANGED if rules.is_same(flying, seen, lag_ns) else WAITING
    retry = folder.retries.get(name)
    if record is not None and retry is None and rules.is_same(record, seen, lag_ns):
        return UNCHANGED
    if folder.carried_by or name in taken or (name == FOLDER_ITSELF and (taken or folder.in_flight)):
        return WAITING
    mtime_ns = listing.mtime_ns if name == FOLDER_ITSELF else seen[0]
    if record is not None and record.fingerprint == seen:  # only its ctime shows when it was modified
        mtime_ns += lag_ns
    if not rules.is_settled(mtime_ns, seen_at_ns=listing.seen_at_ns):
        return UNSETTLED
    has_failed = retry is not None and (retry.fingerprint == seen or retry.code == CHANGED)
    if retry is not None and has_failed and 0 < retry.not_before_ns - rules.now_ns <= LONGEST_PAUSE_NS:
        return BACKING_OFF
    why = RETRY if retry is not None else _why(record, seen)
    attempts, last_code = (retry.failures, retry.code) if retry and has_failed else (0, "")
    level = _retry_level(retry, seen, rules) if retry else _level(seen, record, folder.verify_until_ns, rules)
    earlier_bytes = record.size_bytes if record is not None else 0
    return Item(listing.rel_path, name, 1, seen[1], seen[0], why, level, attempts, lag_ns, earlier_bytes, last_code)


def _why(record: Delivered | None, seen: Fingerprint) -> str:
    if record is None:
        return NEW
    return OLDER if seen[0] < record.mtime_ns else MODIFIED


def _retry_level(retry: Retry, seen: Fingerprint, rules: SendRules) -> str:
    """By checksum, since a failed task may have left anything; but what it may never have seen goes as before, once."""
    is_first = retry.code == NOT_LISTED and retry.attempts <= 1 and retry.fingerprint == seen
    return rules.sync_level if is_first else CHECKSUM


def _level(seen: Fingerprint, record: Delivered | None, verify_until_ns: int, rules: SendRules) -> str:
    """The sync level with which Globus cannot skip this change.

    With "mtime", Globus copies when the source is newer, in whole seconds, or has another size. A change that it would
    miss is compared by checksum.
    """
    second = seen[0] // NS_PER_SECOND
    if record is None:
        is_newer = (
            rules.preserve_timestamp and rules.sync_level == "mtime" and second > verify_until_ns // NS_PER_SECOND
        )
        return CHECKSUM if verify_until_ns and not is_newer else rules.sync_level
    # Without a task it is assumed to be delivered (set_time.py), and the mtime at the destination is not known.
    if not rules.preserve_timestamp or not record.task:
        return CHECKSUM
    # A copy made while PRESERVE_TIMESTAMP was False has the time of its arrival; of one that was made after the copy of
    # a restored datastore nothing is known.
    if second <= max(record.mtime_ns, record.transferred_at_ns, rules.restored_at_ns) // NS_PER_SECOND:
        return CHECKSUM
    # `exists` and `size` are for what is new: they would miss a modification.
    return rules.sync_level if rules.sync_level == "mtime" else CHECKSUM


def forget_vanished(listing: Listing, folder: Folder) -> int:
    """Drop the records of names that are gone; returns their number."""
    present = listing.files.keys() | listing.kept
    vanished = 0
    for name in [*folder.delivered, *folder.retries]:
        if name in present or not (name in folder.delivered or name in folder.retries):
            continue
        if name == FOLDER_ITSELF:  # no longer empty: nothing is gone
            folder.delivered.pop(name, None)
            folder.retries.pop(name, None)
        else:
            folder.forget(name)
            vanished += 1
    return vanished
