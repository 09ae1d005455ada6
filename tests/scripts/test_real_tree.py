"""Input that nobody here wrote: Python's own standard library, and the oddest names a file system allows."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import NamedTuple

from programs import path_of
from suite import LONG_AGO, Route

from emulator.http.server import Emulator

NOT_ITS_OWN = ("site-packages", "dist-packages", "__pycache__", "config-*", "*.so", "*.a")
NFC, NFD = "r\u00e9sum\u00e9.txt", "re\u0301sume\u0301.txt"
ODD_NAMES = [
    *("with blanks in it", " at both ends ", "'single'", '"double"', "back\\slash", "new\nline", "tab\t", "bell\a"),
    *("-rf", "--delete", "~", "#hash", "%41", "?", "*", "[a-z]", "{a,b}", "$HOME", "`id`", "a:b", "a;b", "a|b", "&"),
    *(NFC, NFD, "測定", "🔬", "\u202eright to left", "mark\ufffd", "\ufeffbom", "é" * 127, "x" * 255, "...", ".hidden"),
]


def needs_rsync() -> str:
    """The path of rsync, the independent judge of what arrived."""
    return path_of("rsync")


def copy_of_the_standard_library(folder: Path, *left_out: str, links: bool = True) -> None:
    """Copy Python's own modules with their times; its links as links, or as the files they point to."""
    shutil.copytree(
        sysconfig.get_paths()["stdlib"],
        folder,
        symlinks=links,
        ignore_dangling_symlinks=True,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns(*NOT_ITS_OWN, *left_out),
    )


class Differences(NamedTuple):
    """What rsync would send to the destination and delete there; odd bytes are escaped as it does."""

    missing: set[str]
    extra: set[str]


def differences(route: Route) -> Differences:
    """Compare the destination with the source by content, kind and time.

    Permissions, owners and the times of folders are left aside: Globus does not carry them.
    """
    command = [needs_rsync(), "-anic", "--delete", "-O", "--no-perms", "--no-owner", "--no-group"]
    done = subprocess.run(
        [*command, f"{route.src}/", f"{route.dst}/"],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    found = Differences(set(), set())
    for line in done.stdout.decode("utf-8", "backslashreplace").splitlines():
        kind, path = line[:12], line[12:]
        (found.extra if kind.startswith("*deleting") else found.missing).add(path)
    return found


def age(folder: Path) -> None:
    """Make everything old enough to be settled; links and what is older already stay as they are."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink() and path.stat().st_mtime > LONG_AGO:
            os.utime(path, (LONG_AGO, LONG_AGO))


def test_the_standard_library_and_odd_names_arrive_in_one_run(route: Route, globus: Emulator) -> None:
    copy_of_the_standard_library(route.src / "lib")
    for name in ODD_NAMES:
        route.write(f"odd/{name}", f"content of {name!r}")
        route.write(f"odd folders/{name}/file", f"below {name!r}")
    for folder in ("empty", "nested/empty/folders", "nested/one"):
        (route.src / folder).mkdir(parents=True)
    (route.src / "lib" / "to a file").symlink_to("os.py")
    (route.src / "lib" / "to a folder").symlink_to("json")
    (route.src / "lib" / "to nothing").symlink_to("/nowhere")
    bad_file = route.src / "lib" / os.fsdecode(b"caf\xe9.txt")
    bad_file.write_text("x")
    bad_folder = route.src / os.fsdecode(b"dir\xff")
    bad_folder.mkdir()
    (bad_folder / "inside.txt").write_text("x")
    age(route.src)
    links = sum(path.is_symlink() for path in route.src.rglob("*"))
    assert len(list(route.src.rglob("*.py"))) > 500

    result = route.run("main.py", "--json", "--wait", "100", status=3)

    # What is left out is left out by policy, and the summary says so of each.
    summary = result.json
    assert (summary["links"], summary["errors"], summary["retrying"]) == (links, 2, 0)
    assert sorted(summary["notices"]) == [
        f"Skipped {route.src}/dir\\xff: its name is not UTF-8, so Globus cannot carry it; rename it.",
        f"Skipped {route.src}/lib/caf\\xe9.txt: its name is not UTF-8, so Globus cannot carry it; rename it.",
    ]
    missing = {
        "dir\\#377/",
        "dir\\#377/inside.txt",
        "lib/caf\\#351.txt",
        *(
            f"{path.relative_to(route.src)} -> {os.readlink(path)}"
            for path in route.src.rglob("*")
            if path.is_symlink()
        ),
    }
    assert differences(route) == Differences(missing, set())
    assert not os.path.samefile(route.dst / "odd" / NFC, route.dst / "odd" / NFD)
    assert globus.world.conflicts == []

    again = route.summary(status=3)
    assert (again["submitted"], again["in_flight_tasks"]) == (0, 0)


# ---- a hundred random edits --------------------------------------------------------------------------------------


class Snapshot(NamedTuple):
    """A tree as an independent walk sees it: files with mtime and size, and all folders with what they hold."""

    files: dict[str, tuple[int, int]]
    folders: dict[str, set[str]]

    @classmethod
    def of(cls, top: Path) -> Snapshot:
        """Walk a tree."""
        files: dict[str, tuple[int, int]] = {}
        folders: dict[str, set[str]] = {}
        for folder, below, names in os.walk(top):
            rel_path = os.path.relpath(folder, top)
            prefix = "" if rel_path == "." else f"{rel_path}/"
            folders[prefix.rstrip("/")] = {*below, *names}
            for name in names:
                status = os.lstat(os.path.join(folder, name))
                files[prefix + name] = (status.st_mtime_ns, status.st_size)
        return cls(files, folders)

    def expected_items(self, before: Snapshot) -> set[str]:
        """The items that bring about this tree from what was there before: changed files, and folders as "path/".

        A folder in which everything is new is one item with all below it; so is one that has become empty. One that
        holds the same names as before is not: the scan takes it for unchanged, and looks at each folder in it.
        """
        whole = {folder for folder in self.folders if folder and self._is_new_throughout(folder, before)}
        items = {f"{folder}/" for folder in whole if folder.rpartition("/")[0] not in whole}
        changed = {path for path, seen in self.files.items() if before.files.get(path) != seen}
        return items | {path for path in changed if path.rpartition("/")[0] not in whole}

    def items_in(self, folder: str) -> set[str]:
        """The files of a folder, and the folders in it as items of their own."""
        paths = {f"{folder}/{name}" for name in self.folders[folder]}
        return {f"{path}/" if path in self.folders else path for path in paths}

    def _is_new_throughout(self, folder: str, before: Snapshot) -> bool:
        if not self.folders[folder]:
            return before.folders.get(folder) != set()
        if before.folders.get(folder) == self.folders[folder]:
            return False
        paths = [f"{folder}/{name}" for name in self.folders[folder]]
        return all(
            self._is_new_throughout(path, before) if path in self.folders else path not in before.files
            for path in paths
        )


class Editor:
    """Does to a tree what people and programs do to theirs."""

    def __init__(self, top: Path, destination: Path, dice: random.Random) -> None:
        self._top = top
        self._destination = destination
        self._dice = dice
        self._number = 0

    def edit(self) -> None:
        """One edit of a random kind."""
        kinds = (
            *(self.add, self.append, self.rewrite_at_the_same_size, self.replace_by_an_older_copy, self.touch),
            *(self.delete, self.empty_a_folder, self.make_folder, self.add_a_folder_of_files, self.rename),
            self.turn_a_file_into_a_folder,
        )
        self._dice.choice(kinds)()

    def add(self) -> None:
        (self._folder() / self._name()).write_bytes(self._dice.randbytes(50))

    def append(self) -> None:
        path = self._file()
        path.write_bytes(path.read_bytes() + b" and more")

    def rewrite_at_the_same_size(self) -> None:
        path = self._file()
        path.write_bytes(self._dice.randbytes(path.stat().st_size))

    def replace_by_an_older_copy(self) -> None:
        path = self._file()
        moment = path.stat().st_mtime_ns - self._dice.randrange(1, 10**15)
        path.write_bytes(self._dice.randbytes(path.stat().st_size + 1))
        os.utime(path, ns=(moment, moment))

    def touch(self) -> None:
        self._file().touch()

    def delete(self) -> None:
        self._file().unlink()

    def empty_a_folder(self) -> None:
        folder = self._folder()
        if folder != self._top and not any(path.is_dir() for path in folder.iterdir()):
            for path in folder.iterdir():
                path.unlink()

    def make_folder(self) -> None:
        folder = self._folder() / self._name()
        folder.mkdir()

    def add_a_folder_of_files(self) -> None:
        folder = self._folder() / self._name()
        for number in range(self._dice.randrange(1, 5)):
            (folder / f"deeper{number % 2}").mkdir(parents=True, exist_ok=True)
            (folder / f"deeper{number % 2}" / f"{number}.dat").write_bytes(b"x" * number)

    def rename(self) -> None:
        path = self._file()
        path.rename(path.with_name(self._name()))

    def turn_a_file_into_a_folder(self) -> None:
        path = self._file()
        path.unlink()
        path.mkdir()
        (path / "inside.dat").write_bytes(b"was a file")
        # Globus puts no folder where a file is, and nothing of ours deletes: the owner makes room.
        (self._destination / path.relative_to(self._top)).unlink(missing_ok=True)

    def _file(self) -> Path:
        return self._dice.choice(sorted(path for path in self._top.rglob("*") if path.is_file()))

    def _folder(self) -> Path:
        return self._dice.choice([self._top, *sorted(path for path in self._top.rglob("*") if path.is_dir())])

    def _name(self) -> str:
        self._number += 1
        return self._dice.choice((f"new {self._number}", f"new'{self._number}.txt", f"ü{self._number}"))


def test_after_a_hundred_random_edits_one_run_sends_exactly_these(route: Route, globus: Emulator) -> None:
    needs_rsync()
    copy_of_the_standard_library(route.src / "lib", "test", "tests", "idlelib", links=False)
    age(route.src)
    seed = int(os.environ.get("EDIT_SEED") or time.time_ns() % 10**6)
    print(f"EDIT_SEED={seed} repeats this run")
    route.deliver()
    before, tasks_before = Snapshot.of(route.src), len(route.sent())
    # From the next second on, a time tells by itself that a file is newer than its copy.
    time.sleep(1.01)
    editor = Editor(route.src, route.dst, random.Random(seed))
    for _ in range(100):
        editor.edit()
    now = Snapshot.of(route.src)

    summary = route.deliver()

    sent = [path for document in route.sent()[tasks_before:] for path in route.sent_paths(document)]
    expected = now.expected_items(before)
    for item in expected.difference(sent):
        # What is compared by checksum, because its folder held something else before, is proved equal as a file item.
        if item.endswith("/") and item[:-1] in before.folders:
            expected = expected - {item} | now.items_in(item[:-1])
    assert set(sent) == expected, f"EDIT_SEED={seed}"
    assert len(sent) == len(set(sent))
    assert (summary["retrying"], summary["in_flight_tasks"]) == (0, 0)
    compared = differences(route)
    assert compared.missing == set(), f"EDIT_SEED={seed}"
    assert {path.rstrip("/") for path in compared.extra} <= {*before.files, *before.folders}
    assert route.summary()["submitted"] == 0
    assert globus.world.conflicts == []
