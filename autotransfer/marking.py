"""Whether a scan may be quick, and what it notes for the next quick one."""

from __future__ import annotations

from autotransfer.marks import Mark
from autotransfer.scan import Listing
from autotransfer.settings import Settings
from autotransfer.sights import Same, Sight
from autotransfer.store import FULL_SCAN, Store
from autotransfer.times import NS_PER_SECOND

# A folder that changed within the time step of its file system after it was listed keeps its time. The coarsest step
# is two seconds (FAT). Source of the rule: git, Documentation/technical/racy-git.txt.
RACY_SECONDS = 2.0


class Marking:
    """The marks of one scan: which are trusted, which are made.

    Args:
        now_ns: When the scan starts.
        is_full: Whether none is trusted, whatever SCAN says.
    """

    def __init__(self, settings: Settings, store: Store, *, now_ns: int, is_full: bool) -> None:
        self._store = store
        self._now_ns = now_ns
        self._is_marking = settings.scan == "quick"
        self._basis = [*settings.exclude, settings.symlinks]
        self._racy_from_ns = now_ns - int(max(settings.settle_seconds, RACY_SECONDS) * NS_PER_SECOND)
        if not self._is_marking and store.marks.is_used:
            store.marks.clear()
            store.shelf.pop(FULL_SCAN, None)
        last = store.shelf.get(FULL_SCAN) if self._is_marking else None
        self.is_quick = (
            not is_full
            and last is not None
            and last["basis"] == self._basis
            and 0 <= now_ns - last["at_ns"] < settings.full_scan_every * NS_PER_SECOND
        )

    def note(self, rel_path: str, sight: Sight) -> None:
        """Which folders are in one, and whether it is as recorded."""
        if not self._is_marking:
            return
        marks = self._store.marks
        if not isinstance(sight, Listing) or sight.is_readable:
            marks.set_folders(rel_path, sight.folders)
        if isinstance(sight, Same) and sight.is_plain and max(sight.mtime_ns, sight.ctime_ns) < self._racy_from_ns:
            marks.set(rel_path, Mark(sight.mtime_ns, sight.ctime_ns, sight.files, bool(sight.folders)))
        else:  # what is in it may differ from its record for long without its own times moving
            marks.drop(rel_path)

    def finish(self) -> None:
        """The scan went through."""
        if self._is_marking and not self.is_quick:
            self._store.shelf[FULL_SCAN] = {"at_ns": self._now_ns, "basis": self._basis}
