"""Sets the last-transfer time of paths, for set_time.py. The caller commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from autotransfer.common.errors import UsageProblem
from autotransfer.common.paths import FOLDER_ITSELF, display, join, split
from autotransfer.common.settings import Settings
from autotransfer.datastore.evidence import ASSUMED
from autotransfer.datastore.record import Delivered, Folder
from autotransfer.datastore.store import APART, EMPTY_IS_MEANT, ITEM_LIMIT, MOUNTS, RESET, SERVICE, Store
from autotransfer.plan.compare import forget_vanished, gone_folders, send_rules
from autotransfer.plan.in_flight import forget_gone
from autotransfer.plan.rescan import rescan_later
from autotransfer.plan.restored import compare_anew
from autotransfer.plan.source_check import check_root, forget_folder, is_bare_folder, source_policy
from autotransfer.scan.folders import read_folder, walk
from autotransfer.scan.listing import Listing

ABANDONED = "abandoned"


class Counts(NamedTuple):
    """The numbers of paths in scope.

    Args:
        transferred: Those that now count as transferred.
        to_send: Those that the next run will send.
        in_flight: Those that a task carries, and that were not changed.
        errors: Those that could not be read, in words.
        abandoned_tasks: The number of open tasks of another route that are no longer followed.
        deliveries_dropped: Those that Globus had delivered as they are now, and that will be sent again all the same.
        forgotten: Those that were on a disk that is gone for good.
    """

    transferred: int = 0
    to_send: int = 0
    in_flight: int = 0
    errors: tuple[str, ...] = ()
    abandoned_tasks: int = 0
    deliveries_dropped: int = 0
    forgotten: int = 0


def set_times(
    settings: Settings,
    store: Store,
    root_fd: int,
    *,
    moment_ns: int | None,
    scopes: list[str],
    clock_ns: Callable[[], int],
    is_now: bool = False,
    new_service: str = "",
) -> Counts:
    """Make each path in scope count as transferred at a moment.

    Paths whose mtime is not later are recorded with their present fingerprint; later ones, and ones touched less than
    SETTLE_SECONDS ago, will be sent. If the moment is None, all will be sent. They are compared by checksum, because
    the destination may have something else under their names.

    Args:
        moment_ns: The moment, not in the future; None for "never".
        scopes: rel_paths of files or folders; "" is all of SRC_DIR.
        is_now: Whether the moment is now: what a wrong clock has dated in the future then counts as transferred too.
        new_service: The present service, if the route is to be settled by it from now on.

    Raises:
        UsageProblem: A scope does not exist, or is never sent. Nothing was committed.
        ConfigurationProblem: The datastore is about another route and the scope is not all of SRC_DIR, or another
            service has served it.
    """
    is_whole = "" in scopes
    if not is_whole or new_service != settings.service.name:
        store.refuse_other_service(settings.service)
    abandoned = _leave_other_route(settings, store, now_ns=clock_ns()) if is_whole else 0
    store.claim(settings.route, settings.service, is_anew=is_whole)
    if is_whole:
        store.shelf.pop(ITEM_LIMIT, None)
        store.shelf.pop(APART, None)
        store.shelf.pop("DEVICE", None)
        if is_bare_folder(settings, store.trie, root_fd):
            store.shelf[EMPTY_IS_MEANT] = True
    else:
        check_root(settings, store, root_fd)
    compare_anew(settings, store, root_fd, clock_ns=clock_ns)
    # A disk that is named itself is taken as it is now, or as gone for good.
    disks = {scope for scope in scopes if forget_folder(store, scope)}
    setting = _Setting(settings, store, root_fd, moment_ns, clock_ns, is_now=is_now, disks=disks)
    for scope in [""] if is_whole else _outermost(scopes):
        setting.apply(scope)
    if setting.to_send:
        rescan_later(store, scopes)
    before = (0, 0) if is_whole else store.shelf.get(RESET) or (0, 0)
    store.shelf[RESET] = (before[0] + setting.to_send, before[1] + setting.to_send_bytes)
    return Counts(
        *(setting.transferred, setting.to_send, setting.in_flight, tuple(setting.errors), abandoned),
        setting.deliveries_dropped,
        setting.forgotten,
    )


class _Setting:
    def __init__(
        self,
        settings: Settings,
        store: Store,
        root_fd: int,
        moment_ns: int | None,
        clock_ns: Callable[[], int],
        *,
        is_now: bool,
        disks: set[str],
    ) -> None:
        self._settings = settings
        self._trie = store.trie
        self._root_fd = root_fd
        self._policy = source_policy(settings, store.trie, store.shelf.get(MOUNTS), root_fd)
        self._disks = disks
        self._moment_ns = moment_ns
        self._clock_ns = clock_ns
        self._rules = send_rules(settings, now_ns=clock_ns())
        self._future_from_ns = self._rules.now_ns + self._rules.settle_ns if is_now else None
        self.transferred = self.to_send = self.to_send_bytes = self.in_flight = 0
        self.deliveries_dropped = self.forgotten = 0
        self.errors: list[str] = []

    def apply(self, scope: str) -> None:
        for listing, names in self._listings(scope):
            self.errors.extend(
                f"{display(join(self._settings.src_dir, error.rel_path))}: {error.why}" for error in listing.errors
            )
            if listing.is_readable:
                self._apply_to_folder(listing, names)

    def _listings(self, scope: str) -> Iterator[tuple[Listing, set[str] | None]]:
        wanted = self._policy
        if scope:
            if why := wanted.why_missing(scope):
                raise UsageProblem(
                    f"{display(join(self._settings.src_dir, scope))} cannot be read: {why}",
                    remedy="Nothing was changed.",
                )
            folder_path, name = split(scope)
            parent = read_folder(
                self._root_fd, folder_path, wanted.excludes(), follow_links=wanted.follow_links, clock_ns=self._clock_ns
            )
            if name in parent.files:
                yield parent._replace(errors=()), {name}
                return
            if name not in parent.folders and scope in self._disks:
                self._forget(folder_path, name)
                return
            if name not in parent.folders:
                raise UsageProblem(
                    f"{display(join(self._settings.src_dir, scope))} {self._why_not(parent, name)}",
                    remedy="Nothing was changed.",
                )
        for listing in walk(self._root_fd, wanted, start=scope, clock_ns=self._clock_ns):
            yield listing, None

    def _forget(self, folder_path: str, name: str) -> None:
        """Drop the records of a folder that is gone."""
        folder = self._trie.folder(folder_path)
        self.forgotten, taken = forget_gone(self._trie, folder_path, folder, [name])
        folder.folders = (folder.folders - {name}) | taken
        self._trie.put(folder_path, folder)

    def _why_not(self, parent: Listing, name: str) -> str:
        if name in parent.kept:
            return "is excluded (EXCLUDE), or cannot be read"
        for error in parent.errors:
            if error.rel_path in (join(parent.rel_path, name), parent.rel_path):
                return f"cannot be sent: {error.why}"
        if parent.links or parent.special_files:
            return "does not exist, or is a symlink or a special file, which are not sent"
        return "does not exist"

    def _apply_to_folder(self, listing: Listing, names: set[str] | None) -> None:
        record = self._trie.record(listing.rel_path)
        folder = self._trie.folder_of(listing.rel_path, record)
        for name, seen in listing.files.items():
            if names is not None and name not in names:
                continue
            if name in folder.in_flight or folder.carried_by:
                self.in_flight += 1
                continue
            known = folder.delivered.get(name)
            lag_ns = listing.ctime_lags_ns.get(name, 0)
            is_same = known is not None and self._rules.is_same(known, seen, lag_ns)
            is_proved = known is not None and name not in folder.retries and is_same and known.evidence != ASSUMED
            mtime_ns = listing.mtime_ns if name == FOLDER_ITSELF else seen[0]
            if is_proved and self._moment_ns is not None:  # what Globus delivered is not overwritten by what is assumed
                self.transferred += 1
            elif self._counts_as_transferred(mtime_ns):
                assert self._moment_ns is not None
                folder.forget(name)
                folder.delivered[name] = Delivered(*seen, self._moment_ns, 0, ASSUMED, lag_ns)
                self.transferred += 1
            else:
                folder.forget(name)
                self.to_send += 1
                self.to_send_bytes += seen[1]
                self.deliveries_dropped += is_proved
        if names is None:
            forget_vanished(listing, folder)
            _, taken = forget_gone(self._trie, listing.rel_path, folder, gone_folders(listing, folder))
            folder.folders = {*listing.folders, *(folder.folders & listing.kept), *taken}
        self._trie.put(listing.rel_path, folder)
        if record is None and not folder.is_blank:
            self._trie.link(listing.rel_path)

    def _counts_as_transferred(self, mtime_ns: int) -> bool:
        if self._future_from_ns is not None and mtime_ns > self._future_from_ns:
            return True
        if self._moment_ns is None or mtime_ns > self._moment_ns:
            return False
        return mtime_ns < self._rules.settled_before_ns


def _outermost(scopes: list[str]) -> list[str]:
    """The scopes that are not inside another one, so that no path is counted twice."""
    return [scope for scope in sorted(set(scopes)) if not any(scope.startswith(f"{other}/") for other in scopes)]


def _leave_other_route(settings: Settings, store: Store, *, now_ns: int) -> int:
    """Forget all records of another route, even of what cannot be read now; returns the number of its open tasks."""
    known, service = store.shelf.get("ROUTE"), store.shelf.get(SERVICE)
    if known is None or (known == settings.route and service in (None, settings.service.name)):
        return 0
    open_tasks = list(store.ledger.open.values())
    for task in open_tasks:
        store.archive(task.ended(ABANDONED, now_ns=now_ns, reason="the route was changed", arrived=0, returned=0))
    for rel_path in store.trie.below(""):
        store.trie.put(rel_path, Folder())
    store.twins.clear()
    return len(open_tasks)
