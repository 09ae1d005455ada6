"""Scans, compares and plans: from the tree on disk to batches of items in the store. Nothing is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Optional

from autotransfer.common.paths import FOLDER_ITSELF, display, is_within, join
from autotransfer.common.settings import Settings
from autotransfer.common.summary import EXECUTOR_UNUSED, LIST_UNKNOWN, PATH_SKIPPED, Summary
from autotransfer.datastore.record import Record
from autotransfer.datastore.store import APART, MOUNTS, RESTORED, Store
from autotransfer.datastore.tasks import Item
from autotransfer.plan.batches import Batch, Batcher
from autotransfer.plan.compare import (
    BACKING_OFF,
    MODIFIED,
    NEW,
    OLDER,
    RETRY,
    UNSETTLED,
    WAITING,
    FolderChange,
    SendRules,
    compare,
    gone_folders,
    send_rules,
)
from autotransfer.plan.distrust import Distrust
from autotransfer.plan.in_flight import InFlightWriter, forget_gone
from autotransfer.plan.own_copies import OwnCopies
from autotransfer.plan.rescan import MOVED_RUNS, Moved, Rescan, kept_paths
from autotransfer.plan.source_check import note_folders, source_policy
from autotransfer.plan.whole_folders import WholeFolders
from autotransfer.scan.feed import SRC_DIR_ITSELF, Feed, locate_names
from autotransfer.scan.listing import FolderResult, Listing, PathError, Policy, ScannedFolder
from autotransfer.scan.pool import Pool
from autotransfer.scan.quick import Marking
from autotransfer.scan.scanner import Pace, Scanner

# Called with each changed path, why it is sent or why not yet, and its size in bytes.
OnChange = Callable[[str, str, int], None]

# Called with the numbers of folders and files so far.
OnProgress = Callable[[int, int], None]

# What `on_change` is given for what is not sent in this run.
HELD_WORDS = {UNSETTLED: "modified too recently", WAITING: "waiting for a task", BACKING_OFF: "backing off"}
LEFT = "left to a later run"

# A list of at least this many names, of which at most this part is known, is not the list that it should be.
FEWEST_NAMES, FEWEST_KNOWN = 10, 0.1

# The count of the summary for each reason to send a path.
REASON_COUNTS = {NEW: "new", MODIFIED: "modified", OLDER: "older", RETRY: "retried"}


class Plan:
    """One pass over the tree, or over the part of it that is named. What it changes in the store is not committed.

    Args:
        settings: SRC_DIR, what is skipped, the limits.
        store: Its records are compared with the tree and brought up to date.
        root_fd: SRC_DIR, open.
        summary: Its counts are increased.
        max_items: The limit on the items of one task.
        max_tasks: The number of tasks that may be added; max_failed_tasks: of these for what has failed before.
        is_full: Whether to list everything, whatever SCAN says.
        on_change, on_progress, on_remark: Called during the pass.
        choose: Returns the pool that helps with the scan, when its pace does not decide.
        names: What a change feed names; None: there is no feed, and everything is scanned.
        listed_at_ns: When that list was made.
        is_trusted_again: Whether sources that were found blind are used again (see distrust).

    Attributes:
        outside: The first names that are not inside SRC_DIR, each with its number.
        own_copies: The folders of SRC_DIR that may be DST_DIR.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        root_fd: int,
        summary: Summary,
        *,
        max_items: int,
        max_tasks: int,
        max_failed_tasks: int,
        clock_ns: Callable[[], int],
        is_full: bool = False,
        on_change: Optional[OnChange] = None,
        on_progress: Optional[OnProgress] = None,
        on_remark: Optional[Callable[[str], None]] = None,
        choose: Optional[Callable[[Pace], Optional[Pool]]] = None,
        names: Optional[Sequence[str]] = None,
        listed_at_ns: int = 0,
        is_trusted_again: bool = False,
    ) -> None:
        self._settings = settings
        self._store = store
        self._trie = store.trie
        self._root_fd = root_fd
        self._summary = summary
        self._clock_ns = clock_ns
        self._on_change = on_change
        self._on_progress = on_progress
        self._on_remark = on_remark
        self._is_full = is_full
        self._choose = choose
        self._names = names
        self._rescan = Rescan(store, is_used=names is not None)
        self._moved = Moved(store)
        self._distrust = Distrust(
            settings,
            store,
            now_ns=clock_ns(),
            listed_at_ns=None if names is None else listed_at_ns,
            is_trusted_again=is_trusted_again,
        )
        self._blind_folder: str | None = None
        self._name_counts: dict[str, int] = {}
        self._mounts: list[str] = []
        self.outside: list[tuple[int, str]] = []
        self._in_flight = InFlightWriter(store.trie)
        self._whole_folders = WholeFolders(self._in_flight.record_new, self._assign)
        self.own_copies = OwnCopies(
            store.trie,
            first_number=store.ledger.next_number,
            keeps_times=settings.preserve_timestamp,
            apart=store.shelf.get(APART) or (),
        )
        self._batcher = Batcher(
            store.put_items,
            first_number=store.ledger.next_number,
            max_items=max_items,
            max_tasks=max_tasks,
            max_failed_tasks=max_failed_tasks,
        )

    def make(self) -> list[Batch]:
        """Scan everything, or check what is named; returns the batches, whose items are in the store, by number."""
        restored_at_ns, _ = self._store.shelf.get(RESTORED) or (0, 0)
        rules = send_rules(self._settings, now_ns=self._clock_ns())._replace(restored_at_ns=restored_at_ns)
        mounts = self._store.shelf.get(MOUNTS)
        scan_policy = source_policy(self._settings, self._trie, mounts, self._root_fd)
        for rel_path in scan_policy.missing:  # its own times may be as they were
            self._store.folder_times.drop(rel_path)
        rel_paths = None if self._names is None else self._find(self._names, scan_policy)
        if rel_paths is None or SRC_DIR_ITSELF in rel_paths:
            self._scan(rules, scan_policy)
        else:
            counts = self._name_counts
            feed = Feed(self._trie, self._root_fd, scan_policy, rel_paths, clock_ns=self._clock_ns, counts=counts)
            self._compare_all(feed, None, rules)
            self._summary.scan = "paths"
            self._report_unknown(feed, sum(counts.values()))
        is_full = self._summary.scan == "full"
        self._distrust.finish(self._summary, blind_folder=self._blind_folder, is_full=is_full)
        self._rescan.finish(has_scanned_all=not self._summary.is_quick)
        self._moved.finish()
        note_folders(self._store, self._root_fd, scan_policy, self._mounts)
        return self._batcher.finish()

    def _find(self, names: Sequence[str], wanted: Policy) -> set[str]:
        """The paths to check: those that are named, those that earlier runs left, and where a disk is missing."""
        kept = kept_paths(self._store).union(
            join(folder, name) for folder in wanted.missing for name in wanted.missing[folder]
        )
        found = locate_names(self._settings.src_dir, wanted, self._root_fd, names, kept)
        self._summary.named, self._summary.outside = found.names, found.outside
        self.outside = found.examples
        self._name_counts = found.counts
        self._distrust.check_list(found.rel_paths)
        return found.rel_paths if self._distrust.trusts_feed else {SRC_DIR_ITSELF}

    def _report_unknown(self, feed: Feed, names: int) -> None:
        if names >= FEWEST_NAMES and names - feed.unknown <= names * FEWEST_KNOWN:
            self._summary.notice(
                LIST_UNKNOWN,
                "",
                f"{feed.unknown:,} of {names:,} names in the list are neither in SRC_DIR nor recorded, such as "
                f"{display(join(self._settings.src_dir, feed.unknown_path))}. The list may be of another folder, or "
                "have its names quoted or encoded. What it should have named was not sent: correct what makes it, then "
                "run `main.py --full`.",
            )

    def _scan(self, rules: SendRules, scan_policy: Policy) -> None:
        is_full = self._is_full or self._names is not None
        marking = Marking(
            self._settings,
            self._store,
            now_ns=rules.now_ns,
            is_full=is_full,
            root_fd=self._root_fd,
            may_mark=self._distrust.trusts_times,
        )
        scanner = Scanner(
            self._settings,
            self._store,
            self._root_fd,
            scan_policy,
            clock_ns=self._clock_ns,
            is_quick=marking.is_quick,
            choose=self._choose,
        )
        self._compare_all(scanner, marking, rules._replace(is_quick=marking.is_quick))
        marking.finish()
        self._blind_folder = marking.blind_folder
        self._summary.scan = "quick" if marking.is_quick else "full"
        if scanner.is_executor_unused:
            self._summary.notice(
                EXECUTOR_UNUSED,
                "",
                f"SCAN_EXECUTOR {self._settings.scan_executor!r} could not be used ({scanner.pool_error}); "
                "this machine scanned alone. Start its workers with this code and SRC_DIR in their reach, or take "
                "the setting out.",
            )
        elif scanner.pool_error and self._on_remark is not None:
            self._on_remark(f"This process read what its workers should have read: {scanner.pool_error}.")
        self._summary.folders += scanner.unread_folders
        self._summary.files += scanner.unread_files

    def _compare_all(self, folders: Iterable[ScannedFolder], marking: Marking | None, rules: SendRules) -> None:
        taken_paths: set[str] = set()
        taken_path: str | None = None
        for rel_path, result, record in folders:
            self._count(result)
            if result.is_mount:
                self._mounts.append(rel_path)
            if rel_path in taken_paths:
                taken_path = rel_path
            change = None
            if taken_path is not None and is_within(rel_path, taken_path):
                self._summary.waiting += len(result.files) if isinstance(result, Listing) else result.files
                self._rescan.add(rel_path)
                self._show(rel_path, FOLDER_ITSELF, HELD_WORDS[WAITING], 0)
            else:
                if marking is not None:
                    marking.note(rel_path, result, record)
                if isinstance(result, Listing):
                    change = self._compare(result, record, rules)
                    taken_paths.update(join(rel_path, name) for name in change.taken_folders)
            self._whole_folders.add(rel_path, change)
        self._whole_folders.finish()
        self._in_flight.flush()

    def _compare(self, listing: Listing, record: Record | None, rules: SendRules) -> FolderChange:
        rel_path = listing.rel_path
        folder = self._trie.folder_of(rel_path, record)
        dropped, taken = forget_gone(self._trie, rel_path, folder, gone_folders(listing, folder))
        self._summary.vanished += dropped
        change = compare(listing, folder, rules, is_known=record is not None, taken=frozenset(taken))
        if not rules.is_quick:
            vanished = dropped + change.vanished
            self._distrust.check_change(listing, change, is_new=record is None, vanished=vanished)
        self._note_twins(listing, change)
        self.own_copies.note(rel_path, change.outgoing)
        self._rescan.add_unsent(listing, change)
        self._count_change(change)
        self._count_held(listing, change)
        if not change.is_whole:
            self._in_flight.open(rel_path, change.folder, is_dirty=change.is_dirty)
        return change

    def _note_twins(self, listing: Listing, change: FolderChange) -> None:
        """Doubt names that may be one at the destination before anything under them is sent."""
        names = change.folder.all_names().union(change.outgoing)
        # A folder item carries what it finds, recorded or not.
        swept = set(listing.files) if change.folder.carried_by else set()
        self._store.twins.note(listing.rel_path, names | swept, swept=swept)

    def _assign(self, item: Item) -> None:
        number = self._batcher.add(item)
        if not number:
            self._summary.waiting += item.files
            self._summary.unsubmitted += item.files
            self._rescan.add(item.rel_path)
            self._show(item.folder, item.name or FOLDER_ITSELF, LEFT, item.size_bytes)
            if item.why in (MODIFIED, OLDER):
                self._summary.count_outdated(item.earlier_bytes)
            if item.attempts > 1:
                self._summary.count_failing(item.last_code)
        self._in_flight.assign(item, number)

    def _count(self, result: FolderResult) -> None:
        summary = self._summary
        summary.folders += 1
        summary.links += result.links
        summary.special_files += result.special_files
        if isinstance(result, Listing):
            summary.files += len(result.files)
            for error in result.errors:
                self._skip(error)
            for rel_path, why in result.moved:
                if self._moved.count(rel_path) < MOVED_RUNS:
                    summary.unsettled += 1
                else:
                    self._skip(PathError(rel_path, f"its folder lists it, but reading it fails: {why}"))
        else:
            summary.files += result.files
        if self._on_progress is not None and summary.folders % 16 == 0:
            self._on_progress(summary.folders, summary.files)

    def _skip(self, error: PathError) -> None:
        self._summary.errors += 1
        path = display(join(self._settings.src_dir, error.rel_path))
        self._summary.notice(PATH_SKIPPED, error.rel_path, f"Skipped {path}: {error.why}.", cause=error.why)

    def _count_change(self, change: FolderChange) -> None:
        summary = self._summary
        summary.unsettled += change.unsettled
        summary.waiting += change.waiting
        summary.backing_off += change.backing_off
        summary.vanished += change.vanished
        summary.bytes += change.size_bytes
        for name, sent in change.outgoing.items():
            attribute = REASON_COUNTS[sent.why]
            setattr(summary, attribute, getattr(summary, attribute) + 1)
            self._show(change.rel_path, name, sent.why, sent.size_bytes)

    def _count_held(self, listing: Listing, change: FolderChange) -> None:
        """Count what the changed paths that are not sent now leave at the destination, or have failed before."""
        folder = change.folder
        for name, why in change.held.items():
            self._show(change.rel_path, name, HELD_WORDS[why], listing.files[name][1])
            retry = folder.retries.get(name)
            if why == BACKING_OFF and retry is not None and retry.failures > 1:
                self._summary.count_failing(retry.code)
            if name in folder.delivered and retry is None and name not in folder.in_flight:
                self._summary.count_outdated(folder.delivered[name].size_bytes)

    def _show(self, folder_path: str, name: str, why: str, size_bytes: int) -> None:
        if self._on_change is not None:
            is_folder = name == FOLDER_ITSELF
            self._on_change(f"{folder_path}/" if is_folder else join(folder_path, name), why, size_bytes)
