"""Other tools on the same tree: those that are installed, each searching for changes where there are none."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks import native
from benchmarks.running import Command, Unfit, once

FIND, FD = "find -newermt", "fd --changed-within"
RSYNC, RCLONE, RESTIC = "rsync -an", "rclone copy --dry-run", "restic backup"
FLOOR_1, FLOOR_2 = "floor.c, 1 thread", "floor.c, 2 threads"
NOT_YET = "2100-01-01"  # nothing is newer
HEAVY_RUNS = 3


class Peer(NamedTuple):
    """Another tool.

    Args:
        programs: What it is called, first choice first.
        version: The argument that makes it tell its version.
        does: What it does here, in a few words.
    """

    title: str
    programs: tuple[str, ...]
    version: str
    does: str

    @property
    def program(self) -> str:
        """Where it is; "" when it is not installed."""
        return next((path for path in map(shutil.which, self.programs) if path), "")


PEERS = (
    Peer(FIND, ("find",), "--version", "checks every file; remembers nothing"),
    Peer(FD, ("fd", "fdfind"), "--version", "the same, in parallel"),
    Peer(RSYNC, ("rsync",), "--version", "compares with a copy on the same disk"),
    Peer(RCLONE, ("rclone",), "version", "compares with a copy on the same disk, in parallel"),
    Peer(RESTIC, ("restic",), "version", "a second backup: compares with what the first one remembers"),
)
FLOORS = ((FLOOR_1, "1"), (FLOOR_2, "2"))


def missing(library_folder: Path) -> dict[str, str]:
    """The peers that are not there, each with why."""
    absent = {peer.title: "not installed" for peer in PEERS if not peer.program}
    if native.floor(library_folder) is None:
        absent.update({title: "there is no C compiler" for title, _ in FLOORS})
    return absent


def versions() -> dict[str, str]:
    """What each of them says it is."""
    found = {}
    for peer in PEERS:
        if peer.program:
            words = [peer.program, peer.version]
            told = subprocess.run(words, capture_output=True, text=True, check=False).stdout.partition("\n")[0]
            number = re.search(r"\d+(\.\d+)+", told)
            found[peer.title.partition(" ")[0]] = number.group() if number else told
    return found


def scanners(src: Path, *, names: tuple[str, ...] = (FIND, FD)) -> list[Command]:
    """Those that only check files and remember nothing."""
    arguments = {
        FIND: (str(src), "-newermt", NOT_YET),
        FD: ("--unrestricted", "--changed-within", NOT_YET, ".", str(src)),
    }
    programs = {peer.title: peer.program for peer in PEERS}
    return [
        Command(name, [programs[name], *arguments[name]], _prints_nothing, is_needed=False)
        for name in names
        if programs[name]
    ]


def floors(src: Path, files: int, folder: Path) -> list[Command]:
    """The least that any scan takes."""
    floor = native.floor(folder)
    if floor is None:
        return []
    check = _prints(rf"^{files}\n$", "files")
    return [Command(title, [str(floor), str(src), threads], check, is_needed=False) for title, threads in FLOORS]


def copiers(src: Path, files: int, folder: Path, *, say: Callable[[str], None]) -> list[Command]:
    """Those that compare with a copy or with what they remember, which is made first."""
    found: list[Command] = []
    programs = {peer.title: peer.program for peer in PEERS}
    copy = folder / "copy"
    if programs[RSYNC] or programs[RCLONE]:
        say("making a copy for rsync and rclone")
        once(["cp", "-a", str(src), str(copy)], folder=folder)
    if program := programs[RSYNC]:
        found.append(_heavy(RSYNC, [program, "-an", "--itemize-changes", f"{src}/", f"{copy}/"], _prints_nothing))
    if program := programs[RCLONE]:
        words = [program, "copy", "--dry-run", "--stats-one-line", "--stats", "1h", str(src), str(copy)]
        found.append(_heavy(RCLONE, words, _lists_no_copy))
    if program := programs[RESTIC]:
        say("making a first backup for restic")
        variables = {"RESTIC_REPOSITORY": str(folder / "backup"), "RESTIC_PASSWORD": "benchmark"}
        words = [program, "backup", "--ignore-ctime", str(src)]  # ours change files and change them back
        try:
            once([program, "init"], folder=folder, variables=variables)
            once([*words, "--quiet"], folder=folder, variables=variables)
        except Unfit as why:
            say(f"restic is not measured: {why}")
        else:
            check = _prints(rf"Files:\s+0 new,\s+0 changed,\s+{files} unmodified", "files unmodified")
            found.append(_heavy(RESTIC, words, check, variables))
    return found


def _heavy(
    title: str, words: list[str], check: Callable[[str], object], variables: Mapping[str, str] | None = None
) -> Command:
    return Command(title, words, check, variables or {}, most_runs=HEAVY_RUNS, is_needed=False)


def _prints_nothing(printed: str) -> None:
    if printed.strip():
        raise Unfit(f"it found changes where there are none: {_start(printed)}")


def _lists_no_copy(printed: str) -> None:
    if "Skipped copy" in printed:
        raise Unfit(f"it would copy where nothing changed: {_start(printed)}")


def _prints(pattern: str, what: str) -> Callable[[str], None]:
    def check(printed: str) -> None:
        if not re.search(pattern, printed):
            raise Unfit(f"it did not count the {what} that there are: {_start(printed)}")

    return check


def _start(printed: str) -> str:
    return " ".join(printed.split())[:200]
