"""Finds out whether names that may be one at the destination are two there, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Optional

from autotransfer.common.errors import GLOBUS_AWAY, Problem, SignInNeeded, Unreachable
from autotransfer.common.folding import twin_groups, twins_in
from autotransfer.common.paths import FOLDER_ITSELF, display, join
from autotransfer.common.summary import NAMES_FOLD, Summary
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore.record import Folder, Retry
from autotransfer.datastore.store import Store
from autotransfer.datastore.twins import Doubt
from autotransfer.plan.rescan import rescan_later
from autotransfer.transfer.task_status import pause_ns

# Folders that one run lists. Globus lets a person make 20 requests a second.
LISTED_A_RUN = 100

# The most names that Globus lists of a folder (docs.globus.org/api/transfer/file_operations).
MOST_NAMES = 100_000
ASK_AGAIN_NS = DAY * NS_PER_SECOND
REFUSALS_SHOWN = 2

# The code of a retry: another file may have replaced the copy.
REPLACED = "NAMES_FOLD"

# (rel_path, most) -> the names in that folder at the destination, at most that many; None: there is no such folder.
ListNames = Callable[[str, int], Optional[list[str]]]


class TwinNames:
    """Settles the doubts of `store.twins`.

    Args:
        list_names: How to ask the destination.
        commit: Makes what was recorded durable.
    """

    def __init__(
        self,
        store: Store,
        summary: Summary,
        *,
        list_names: ListNames,
        clock_ns: Callable[[], int],
        commit: Callable[[], None],
    ) -> None:
        self._store = store
        self._summary = summary
        self._list_names = list_names
        self._clock_ns = clock_ns
        self._commit = commit
        self._left = LISTED_A_RUN

    def settle(self) -> None:
        """Ask about the names of which all have been delivered, and have what lost its twin sent again.

        Raises:
            SignInNeeded: The destination may not be asked.
        """
        for rel_path, doubt in list(self._store.twins):
            folder = self._store.trie.folder(rel_path)
            recorded = folder.all_names().intersection(doubt.names)
            sent = {name for name in recorded if name in doubt.sent or self._was_sent(rel_path, folder, name)}
            sent.update(doubt.sent)
            still = twins_in(recorded)
            alone = {name for name in recorded - still if self._is_at_rest(rel_path, folder, name)}
            self._send_again(rel_path, alone & twins_in(sent | alone))
            names = recorded - alone
            after = self._asked(rel_path, folder, doubt._replace(names=_sorted(names), sent=_sorted(sent)))
            names = names.intersection(after.names)
            after = after._replace(
                sent=_sorted(sent) if names else (), folded=_sorted(still.intersection(names, after.folded))
            )
            if after != doubt:
                self._store.twins.put(rel_path, after)
                self._commit()

    def report(self) -> None:
        """Notify of the names that are one at the destination, and of those about which it does not answer."""
        for rel_path, doubt in self._store.twins:
            for group in twin_groups(doubt.names):
                listed = " and ".join(display(join(rel_path, name)) for name in group)
                if set(group).issubset(doubt.folded):
                    self._summary.notice(
                        NAMES_FOLD,
                        join(rel_path, group[0]),
                        f"{listed} are one name at the destination, which holds only one of them. Rename one here: "
                        "both are then sent again. Until then neither counts as verified.",
                    )
                elif doubt.attempts >= REFUSALS_SHOWN:
                    self._summary.notice(
                        NAMES_FOLD,
                        join(rel_path, group[0]),
                        f"{listed} may be one name at the destination, whose folder could not be listed "
                        f"({doubt.why}). Neither counts as verified before it can, or before you rename one here.",
                        cause="not listed",
                    )

    def _is_at_rest(self, rel_path: str, folder: Folder, name: str) -> bool:
        """Whether a name is not under way, nor anything below a folder of that name."""
        if name in folder.in_flight or folder.carried_by:
            return False
        if name not in folder.folders:
            return True
        records = map(self._store.trie.record, self._store.trie.below(join(rel_path, name)))
        return not any(record and (record.in_flight or record.carried_by) for record in records)

    def _was_sent(self, rel_path: str, folder: Folder, name: str) -> bool:
        """Whether a task carried the name, or something below it."""
        if name in folder.delivered or name in folder.in_flight or name in folder.retries:
            return True
        records = map(self._store.trie.record, self._store.trie.below(join(rel_path, name)))
        return any(record and (record.names or record.in_flight or record.retries) for record in records)

    def _is_there(self, rel_path: str, folder: Folder, name: str) -> bool:
        """Whether a name was delivered, so that it must be at the destination."""
        if name in folder.delivered:
            return name not in folder.in_flight
        if name not in folder.folders or folder.carried_by:
            return False
        records = map(self._store.trie.record, self._store.trie.below(join(rel_path, name)))
        return any(record and record.names and not record.carried_by for record in records)

    def _asked(self, rel_path: str, folder: Folder, doubt: Doubt) -> Doubt:
        """The doubt after the destination was asked, if that is due."""
        now_ns = self._clock_ns()
        is_due = not 0 < doubt.not_before_ns - now_ns <= ASK_AGAIN_NS
        groups = [
            group
            for group in twin_groups(doubt.names)
            if (is_due or not (doubt.attempts or set(group).issubset(doubt.folded)))
            and all(self._is_there(rel_path, folder, name) for name in group)
        ]
        if not groups or self._left <= 0:
            return doubt
        self._left -= 1
        try:
            names = self._list_names(rel_path, MOST_NAMES)
        except SignInNeeded:
            raise
        except Unreachable:
            self._left = 0
            return doubt
        except Problem as problem:
            self._left = 0 if problem.kind == GLOBUS_AWAY else self._left
            return self._unanswered(doubt, problem.why or str(problem))
        if names is None:
            return self._unanswered(doubt, "there is no such folder")
        there = frozenset(names)
        if len(names) >= MOST_NAMES and not all(map(there.issuperset, groups)):
            return self._unanswered(doubt, f"it has more than {MOST_NAMES:,} names")
        return self._answered(rel_path, doubt, groups, there)

    def _answered(self, rel_path: str, doubt: Doubt, groups: list[list[str]], there: frozenset[str]) -> Doubt:
        names, folded = set(doubt.names), set(doubt.folded)
        for group in groups:
            if not there.issuperset(group):
                folded.update(group)
                continue
            self._store.twins.set_apart(rel_path, group)
            self._send_again(rel_path, folded.intersection(group))  # they were one there once
            names.difference_update(group)
            folded.difference_update(group)
        again_ns = self._clock_ns() + ASK_AGAIN_NS if folded else 0
        return Doubt(_sorted(names), doubt.sent, _sorted(folded), 0, again_ns)

    def _unanswered(self, doubt: Doubt, why: str) -> Doubt:
        attempts = doubt.attempts + 1
        return doubt._replace(
            attempts=attempts, not_before_ns=self._clock_ns() + pause_ns(attempts + 1), why=display(why)
        )

    def _send_again(self, rel_path: str, names: Iterable[str]) -> None:
        """Have paths, and all that is below them, compared by checksum: a twin may have replaced their copies."""
        trie = self._store.trie
        folder = trie.folder(rel_path)
        wanted = set(names)
        if not wanted:
            return
        _retry(folder, wanted)
        trie.put(rel_path, folder)
        for name in wanted & folder.folders:
            for below in list(trie.below(join(rel_path, name))):
                deeper = trie.folder(below)
                _retry(deeper, deeper.delivered.keys() - {FOLDER_ITSELF})
                trie.put(below, deeper)
        rescan_later(self._store, (join(rel_path, name) for name in wanted))


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _retry(folder: Folder, names: set[str]) -> None:
    for name in names.intersection(folder.delivered):
        record = folder.delivered.pop(name)
        folder.retries[name] = Retry(*record.fingerprint, 0, 0, REPLACED, record.task)
        folder.verify_until_ns = max(folder.verify_until_ns, record.mtime_ns, record.transferred_at_ns)
