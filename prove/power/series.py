"""A series in which the power is cut: the datastore falls back to what a disk may hold, and the runs go on."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from autotransfer.datastore.store import Store
from prove.crashes.series import Ended, Series
from prove.native import Call, Point
from prove.power.disk import WATCHED, Disk

Content = dict[bytes, bytes]
STATES_PER_CUT = 5
# The share of a script's calls after which the power is cut in thought, without going on from there.
LOOKED_AT = 0.04


class Commits:
    """The contents of the datastore after each commit.

    Args:
        content: What it says now; that has returned.
    """

    def __init__(self, content: Content) -> None:
        self.contents = [content]
        self._returned = 0
        self._is_returning = False

    def note(self, call: Call, disk: Disk, scratch: Path) -> None:
        """Look at a call that the disk has seen: the removal of a journal is a commit, what comes then its return."""
        if self._is_returning and call.kind not in ("open .", "sync ."):
            self.close()
        if call.when == "after" and call.kind == f"unlink {WATCHED}-journal":
            self.contents.append(content_of(disk.now(), scratch))
            self._is_returning = True

    def close(self) -> None:
        """The script has gone on, or has ended: its last commit had returned."""
        self._returned = len(self.contents) - 1
        self._is_returning = False

    @property
    def allowed(self) -> list[Content]:
        """The contents that the datastore may have after a cut: as of the last commit that returned, or later."""
        return self.contents[self._returned :]


class PowerSeries(Series):
    """A series whose every kill, and some of whose ends, are a power cut.

    Attributes:
        cuts: How often the runs went on from what the disk held.
        states: How many states of the disk were opened and judged.
        journals: In how many of them a journal was left.
    """

    def __init__(self, seed: int, folder: Path, library: Path) -> None:
        super().__init__(seed, folder, library)
        self.cuts = self.states = self.journals = 0
        self._scratch = folder / "scratch"
        self._disk = Disk({})
        self._commits = Commits({})

    def run_killed(self, words: Sequence[str], point: Point | None) -> Ended:
        """Killed at points only: what is killed between a call and its note would leave the log behind the disk."""
        return super().run_killed(words, point or self.some_point())

    def after_run(self, ended: Ended) -> None:
        for call in ended.calls:
            self._disk.apply(call)
            self._commits.note(call, self._disk, self._scratch)
            if call.name.startswith((WATCHED, ".")) and self.chance.random() < LOOKED_AT:
                self._judge_state(self._disk.after_cut(self.chance))
        self._judge_log()
        if not ended.is_killed:
            self._commits.close()
        if ended.is_killed or self.chance.random() < 0.3:
            self._cut()

    def _judge_log(self) -> None:
        """The log accounts for every byte that is there: no call went past it."""
        found = {path.name: path.read_bytes() for path in self.route.code_path.glob(f"{WATCHED}*")}
        noted = self._disk.now()
        assert found.keys() == noted.keys(), f"there are {sorted(found)}, the calls noted leave {sorted(noted)}"
        for name, content in found.items():
            assert content == noted[name], f"{name} is not what the calls noted make of it"

    def _cut(self) -> None:
        possible = [self._disk.after_cut(self.chance) for _ in range(STATES_PER_CUT)]
        for files in possible:
            self._judge_state(files)
        chosen = self.chance.choice(possible)
        self.cuts += 1
        self.story.append(f"the power is cut; on the disk is { ({name: len(each) for name, each in chosen.items()}) }")
        for path in self.route.code_path.glob(f"{WATCHED}*"):
            path.unlink()
        put(chosen, self.route.code_path)
        self._disk = Disk(chosen)
        self._commits = Commits(content_of(chosen, self._scratch))

    def _judge_state(self, files: dict[str, bytes]) -> None:
        """The datastore opens, is whole, and says what it said after a commit that is not older than what returned."""
        self.states += 1
        self.journals += f"{WATCHED}-journal" in files
        content = content_of(files, self._scratch)
        contents = self._commits.contents
        known = [number for number, each in enumerate(contents) if each == content]
        assert known, f"after a cut the datastore says what it never said after a commit: {sorted(content)}"
        assert content in self._commits.allowed, (
            f"after a cut the datastore has forgotten a commit that had returned: it says what it said after commit "
            f"{known[-1]} of {len(contents) - 1}"
        )
        put(files, self._scratch)
        with Store(str(self._scratch / WATCHED)) as store:
            assert len(store.ledger.open) < store.ledger.next_number
            for rel_path in list(store.trie.below("")):
                store.trie.folder(rel_path)
            list(store.history())


def put(files: dict[str, bytes], folder: Path) -> None:
    """Write files, private as those of the tool."""
    folder.mkdir(exist_ok=True)
    for stale in folder.glob(f"{WATCHED}*"):
        stale.unlink()
    for name, content in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)


def content_of(files: dict[str, bytes], scratch: Path) -> Content:
    """Read a datastore and its journal with SQLite alone, without the product; it must be whole."""
    put(files, scratch)
    if WATCHED not in files:
        return {}
    with closing(sqlite3.connect(scratch / WATCHED)) as datastore:
        verdict = datastore.execute("PRAGMA integrity_check").fetchall()
        assert verdict == [("ok",)], f"after a cut the datastore is damaged: {verdict}"
        if not datastore.execute("SELECT 1 FROM sqlite_master WHERE name = 'Dict'").fetchall():
            return {}
        return dict(datastore.execute("SELECT key, value FROM Dict"))
