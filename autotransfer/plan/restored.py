"""After a datastore was restored: what may have been sent since its copy was made is compared by checksum."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from autotransfer.common.settings import Settings
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore.record import Folder, Record, has_moved
from autotransfer.datastore.store import FULL_SCAN, LAST_RUN, MOUNTS, RESTORED, Store
from autotransfer.plan.rescan import rescan_later
from autotransfer.plan.source_check import source_policy
from autotransfer.scan.feed import SRC_DIR_ITSELF
from autotransfer.scan.folders import walk
from autotransfer.scan.listing import Listing

REMEDY = (
    "What is new or was modified since is compared by checksum. Nothing need be done: this ends once that has been "
    "delivered."
)

# How far the clock of a file server may be ahead of ours.
CLOCK_DOUBT_NS = DAY * NS_PER_SECOND


def compare_anew(settings: Settings, store: Store, root_fd: int, *, clock_ns: Callable[[], int]) -> None:
    """Have what is new or was changed since the datastore's last run compared by checksum. The caller commits.

    That is what is new or modified with a time up to now, and what is as recorded although its ctime moved: it may have
    been modified, sent, and put back. Does nothing to a datastore that was not restored.

    Cost: rewrites all records, and reads SRC_DIR once.
    """
    if store.newer is None:
        return
    until_ns = max(clock_ns(), store.newer.at_ns)
    since_ns = (store.shelf.get(LAST_RUN) or {}).get("started_at_ns", 0) - CLOCK_DOUBT_NS
    is_blank = store.is_blank
    for rel_path in chain([""], store.trie.below("")):
        record = store.trie.record(rel_path) or Record()
        store.trie.put_record(rel_path, record._replace(verify_until_ns=max(record.verify_until_ns, until_ns)))
    store.succeed(store.newer)
    if is_blank:  # a person says what it would have said
        return
    wanted = source_policy(settings, store.trie, store.shelf.get(MOUNTS), root_fd)
    for listing in walk(root_fd, wanted, clock_ns=clock_ns):
        folder = store.trie.folder(listing.rel_path)
        if touched := _touched(listing, folder, since_ns):
            for name in touched:
                folder.forget(name)
            store.trie.put(listing.rel_path, folder)
    store.shelf.pop(FULL_SCAN, None)
    rescan_later(store, [SRC_DIR_ITSELF])
    store.shelf[RESTORED] = (clock_ns(), 0)


def _touched(listing: Listing, folder: Folder, since_ns: int) -> list[str]:
    """The names that are as recorded although their ctime has moved since."""
    touched = []
    for name, delivered in folder.delivered.items():
        lag_ns = listing.ctime_lags_ns.get(name, 0)
        is_moved = has_moved(delivered.ctime_lag_ns, lag_ns) and delivered.mtime_ns + lag_ns >= since_ns
        if is_moved and listing.files.get(name) == delivered.fingerprint:
            touched.append(name)
    return touched


def is_being_compared(store: Store) -> bool:
    """Whether tasks may still carry, or later ones will, what is to be compared after a restore; forgets it if not."""
    _, until_task = store.shelf.get(RESTORED) or (0, 0)
    if until_task and all(number >= until_task for number in store.ledger.open):
        del store.shelf[RESTORED]
    return RESTORED in store.shelf


def all_is_planned(store: Store) -> None:
    """Everything that is to be compared after a restore is in the tasks that are open now."""
    if RESTORED in store.shelf:
        at_ns, until_task = store.shelf[RESTORED]
        store.shelf[RESTORED] = (at_ns, until_task or store.ledger.next_number)
