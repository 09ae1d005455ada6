"""Finds new paths that look like copies of what this route has sent: DST_DIR may lie inside SRC_DIR. Pure.

Looks are no proof: owners keep copies, too. `transfer/own_copies` asks the destination.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore.record import Fingerprint, Folder
from autotransfer.datastore.tasks import Item
from autotransfer.datastore.trie import PathTrie
from autotransfer.plan.compare import NEW

# The step of FAT's times, the coarsest that a copy may have.
TIME_STEP_NS = 2 * NS_PER_SECOND

# Storage that keeps no times dates a copy when it is made: at most this long before its task ended, or, by the clock of
# a file server, after it.
COPYING_NS = DAY * NS_PER_SECOND

# More need not be asked about: one that holds our copies is enough.
MOST_FOUND = 20


class OwnCopies:
    """Folders that may be DST_DIR: at least half of what is new in a folder is, below it, what was sent before.

    Args:
        first_number: That of the first task of this run; what earlier ones carry counts.
        keeps_times: Whether copies have the times of their originals.
        apart: The folders that are known to be another than DST_DIR.

    Attributes:
        found: Their rel_paths.
    """

    def __init__(self, trie: PathTrie, *, first_number: int, keeps_times: bool, apart: Iterable[str]) -> None:
        self._trie = trie
        self._first_number = first_number
        self._keeps_times = keeps_times
        self._apart = frozenset(apart)
        self._top = trie.folder("")
        self._sent_at_top = self._sent(self._top)
        self.found: list[str] = []

    def note(self, rel_path: str, outgoing: Mapping[str, Item]) -> None:
        """Hold what is new in a folder against what was sent from folders whose path ends its own.

        Cost: nothing for a folder in which nothing is new, nor unless a name of its path is one at the top of SRC_DIR.
        """
        new = {name: item for name, item in outgoing.items() if item.why == NEW}
        if not new or not rel_path or len(self.found) >= MOST_FOUND:
            return
        names = rel_path.split("/")
        for first in range(1, len(names) + 1):
            original = names[first:]
            place = "/".join(names[:first])
            if (original and original[0] not in self._top.folders) or place in self._apart or place in self.found:
                continue
            sent = self._sent(self._trie.folder("/".join(original))) if original else self._sent_at_top
            if 2 * sum(name in sent and self._is_alike(item, sent[name]) for name, item in new.items()) >= len(new):
                self.found.append(place)

    def _sent(self, folder: Folder) -> dict[str, tuple[Fingerprint, int]]:
        sent = {name: (one.fingerprint, one.transferred_at_ns) for name, one in folder.delivered.items() if one.task}
        flying = {name: one for name, one in folder.in_flight.items() if 0 < one.task < self._first_number}
        return {**sent, **{name: (one.fingerprint, 0) for name, one in flying.items()}}

    def _is_alike(self, item: Item, sent: tuple[Fingerprint, int]) -> bool:
        (mtime_ns, size_bytes), delivered_at_ns = sent
        return item.size_bytes == size_bytes and (
            not self._keeps_times
            or abs(item.mtime_ns - mtime_ns) <= TIME_STEP_NS
            or abs(item.mtime_ns - delivered_at_ns) <= COPYING_NS
        )
