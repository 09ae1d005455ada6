"""Scan against trie: what is new, modified, to be retried, unsettled or vanished. Pure."""

from __future__ import annotations

from typing import NamedTuple

from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore.record import Delivered, Fingerprint, Folder
from autotransfer.scan.listing import Listing

NEW = "new"


MODIFIED = "modified"


OLDER = "modified to an older time"


RETRY = "retry"


CHECKSUM = "checksum"


# A longer pause was set by a clock that was wrong.
LONGEST_PAUSE_NS = DAY * NS_PER_SECOND


UNCHANGED, UNSETTLED, WAITING, BACKING_OFF = "", "unsettled", "waiting", "backing_off"


class SendRules(NamedTuple):
    """What decides whether and how a change is sent.

    Args:
        settled_before_ns: The scan's start less SETTLE_SECONDS; what was touched from then on waits for a later run.
        settle_ns: SETTLE_SECONDS; a timestamp further in the future than this is a wrong clock and counts as settled.
        sync_level: What ordinary changes go with.
        preserve_timestamp: Whether copies have their sources' mtimes; if not, they have the time of arrival.
        now_ns: Retries that are due by now are sent.
        is_quick: Whether the scan leaves out known folders that seem unchanged.
    """

    settled_before_ns: int
    settle_ns: int
    sync_level: str
    preserve_timestamp: bool
    now_ns: int
    is_quick: bool = False

    def is_settled(self, mtime_ns: int, *, seen_at_ns: int) -> bool:
        """Whether a path was left alone long enough before it was seen.

        Source of the rule that what is touched during the scan is never trusted: bup (index.py, tmax) and borg
        (cache.py, _write_files_cache).
        """
        return mtime_ns < self.settled_before_ns or mtime_ns > seen_at_ns + self.settle_ns


class Outgoing(NamedTuple):
    """One path to be sent: its fingerprint, why, the sync level it needs, and whether sending it has failed before."""

    mtime_ns: int
    size_bytes: int
    why: str
    sync_level: str
    has_failed: bool = False


class FolderChange(NamedTuple):
    """What is to be done about one folder; `folder` is its record with the vanished already forgotten.

    Args:
        outgoing: Name to what is sent, in the order of the listing.
        unsettled: How many paths were touched too recently.
        waiting: How many changed or new paths wait for a task that is under way.
        backing_off: How many failed paths wait for their next try.
        vanished: How many recorded paths are gone.
        taken_folders: Names of folders that a task under way carries as the files they were; all below them waits.
        is_whole: Whether all here is new and settled, so that one folder item could carry it.
        is_dirty: Whether `folder` differs from what is stored.
    """

    rel_path: str
    folder: Folder
    outgoing: dict[str, Outgoing]
    unsettled: int
    waiting: int
    backing_off: int
    vanished: int
    taken_folders: tuple[str, ...]
    is_whole: bool
    is_dirty: bool

    @property
    def size_bytes(self) -> int:
        """Of all that is to be sent."""
        return sum(sent.size_bytes for sent in self.outgoing.values())

    @property
    def sync_levels(self) -> set[str]:
        """All that are needed."""
        return {sent.sync_level for sent in self.outgoing.values()}


def gone_folders(listing: Listing, folder: Folder) -> list[str]:
    """Names of recorded folders that are gone, sorted."""
    return sorted(folder.folders - {*listing.folders, *listing.kept}) if listing.is_readable else []


def compare(
    listing: Listing, folder: Folder, rules: SendRules, *, is_known: bool, taken: frozenset[str] = frozenset()
) -> FolderChange:
    """Sort one folder's entries by what is to be done about them.

    Args:
        listing: What the scan saw.
        folder: What is recorded; this call changes it (vanished names go, folders are as listed). For a folder
            without a record, one that has only what it inherits.
        is_known: Whether there was a record.
        taken: Names of folders that are gone, but below which tasks under way still carry something: a file of such a
            name waits, and so does the folder itself where it is empty now.

    Returns:
        A change; outgoing paths are not yet in flight in it.
    """
    if not listing.is_readable:
        return FolderChange(listing.rel_path, folder, {}, 0, 0, 0, 0, (), False, False)
    outgoing: dict[str, Outgoing] = {}
    held = {UNSETTLED: listing.moved, WAITING: 0, BACKING_OFF: 0}
    for name, seen in listing.files.items():
        fate = _fate(name, seen, listing, folder, rules, taken)
        if isinstance(fate, Outgoing):
            outgoing[name] = fate
        elif fate:
            held[fate] += 1
    records = len(folder.delivered) + len(folder.retries)
    vanished = forget_vanished(listing, folder)
    present = {*listing.folders, *(folder.folders & listing.kept), *taken}
    is_dirty = (
        not is_known
        or len(folder.delivered) + len(folder.retries) != records
        or bool(gone_folders(listing, folder))
        or present != folder.folders
    )
    # Of the folders that are known a quick scan may have left some out, and EXCLUDE others that a task still carries; a
    # folder item would take what is recorded of them for its own.
    may_be_left_out = {*listing.kept, *(listing.folders if rules.is_quick else ())}
    leaves_out = not folder.folders.isdisjoint(may_be_left_out)
    folder.folders = present
    is_whole = (
        bool(listing.rel_path)  # SRC_DIR itself never travels whole: what is new at its top must not wait for it
        and not (folder.delivered or folder.retries or folder.in_flight or folder.carried_by or taken)
        and not leaves_out
        and listing.is_plain
        and len(outgoing) == len(listing.files)
    )
    return FolderChange(
        listing.rel_path,
        folder,
        outgoing,
        held[UNSETTLED],
        held[WAITING],
        held[BACKING_OFF],
        vanished,
        tuple(name for name in listing.folders if name in folder.in_flight),
        is_whole,
        is_dirty,
    )


def _fate(
    name: str, seen: Fingerprint, listing: Listing, folder: Folder, rules: SendRules, taken: frozenset[str]
) -> Outgoing | str:
    """What becomes of one entry in this run: how it is sent, or why it is held back, or UNCHANGED."""
    record, flying = folder.delivered.get(name), folder.in_flight.get(name)
    if flying is not None:
        return UNCHANGED if flying.fingerprint == seen else WAITING
    if record is not None and record.fingerprint == seen:
        return UNCHANGED
    if folder.carried_by or name in taken or (name == FOLDER_ITSELF and (taken or folder.in_flight)):
        return WAITING
    mtime_ns = listing.mtime_ns if name == FOLDER_ITSELF else seen[0]
    if not rules.is_settled(mtime_ns, seen_at_ns=listing.seen_at_ns):
        return UNSETTLED
    retry = folder.retries.get(name)
    if retry is not None and retry.fingerprint == seen and 0 < retry.not_before_ns - rules.now_ns <= LONGEST_PAUSE_NS:
        return BACKING_OFF
    why = RETRY if retry is not None else _why(record, seen)
    has_failed = retry is not None and retry.fingerprint == seen and retry.attempts > 0
    return Outgoing(*seen, why, _level(why, seen, record, folder.verify_until_ns, rules), has_failed)


def _why(record: Delivered | None, seen: Fingerprint) -> str:
    if record is None:
        return NEW
    return OLDER if seen[0] < record.mtime_ns else MODIFIED


def _level(why: str, seen: Fingerprint, record: Delivered | None, verify_until_ns: int, rules: SendRules) -> str:
    """The sync level that cannot skip this change at the destination.

    Globus compares modification times in whole seconds and copies when the source's is newer or the sizes differ, so a
    change it could take for none is compared by checksum.
    """
    second = seen[0] // NS_PER_SECOND
    if why == RETRY:
        return CHECKSUM
    if record is None:
        is_newer = (
            rules.preserve_timestamp and rules.sync_level == "mtime" and second > verify_until_ns // NS_PER_SECOND
        )
        return CHECKSUM if verify_until_ns and not is_newer else rules.sync_level
    # Without a task a person assumed for it, so the time that the destination carries is not known.
    if not rules.preserve_timestamp or not record.task:
        return CHECKSUM
    # A copy made while PRESERVE_TIMESTAMP was False carries the time of its arrival.
    if second <= max(record.mtime_ns, record.transferred_at_ns) // NS_PER_SECOND:
        return CHECKSUM
    # `exists` and `size` were chosen for what is new; a known modification is never left to them.
    return rules.sync_level if rules.sync_level == "mtime" else CHECKSUM


def forget_vanished(listing: Listing, folder: Folder) -> int:
    """Drop the records of names that are gone; gives how many."""
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
