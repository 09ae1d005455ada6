"""A tree that is edited by chance between runs, and that remembers when each of its paths was last touched."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

NS = 10**9
LONG_AGO_SECONDS = 1_700_000_000
FILES = tuple(f"{number}.dat" for number in range(7))  # few, so that paths meet again
FOLDERS = ("run1", "run2", "run2.old", "é x")
SIZES_BYTES = (0, 5, 5, 5, 90, 5000)
MOST_DEPTH = 3
KEPT = "keep.dat"


class Tree:
    """SRC_DIR, and everything done to it.

    A file never gets the same modification time twice, so that no two contents look alike; a name is either a file's
    or a folder's, because this tool deletes nothing at the destination.

    Attributes:
        age: How many edits there were.
    """

    def __init__(self, chance: random.Random, top: Path) -> None:
        self.chance = chance
        self.top = top
        self.age = 0
        self._touched: dict[str, int] = {}
        self._removed: dict[str, int] = {}
        self._moments = 0
        self._write(KEPT, 3)

    def is_touched_since(self, path: str, age: int) -> bool:
        """Whether a path, or a folder it lies in, was touched by an edit after that many; folders end in a slash."""
        parents = [path[:end] for end in range(len(path)) if path[end] == "/"]
        return any(self._touched.get(each, 0) > age for each in [path, *parents])

    def is_gone_since(self, path: str, age: int) -> bool:
        """Whether something at a path, below it, or above it was removed or renamed by an edit after that many."""
        return any(
            since > age and (f"{gone}/".startswith(f"{path}/") or f"{path}/".startswith(f"{gone}/"))
            for gone, since in self._removed.items()
        )

    def touch_all(self) -> None:
        """Count everything there as touched, as after a set_time.py."""
        self.age += 1
        for folder, folders, files in os.walk(self.top):
            for name in (*folders, *files):
                path = os.path.relpath(os.path.join(folder, name), self.top)
                self._touched[path] = self._touched[path + "/"] = self.age

    def edit(self) -> str:
        """Do one edit; returns a description of it."""
        edits: dict[Callable[[], str], int] = {
            self._create: 8,
            self._create_folder: 4,
            self._append: 3,
            self._rewrite: 4,
            self._replace_by_older: 2,
            self._replace_at_once: 2,
            self._touch_now: 1,
            self._rename: 3,
            self._rename_folder: 2,
            self._delete: 2,
            self._delete_folder: 1,
            self._make_empty_folder: 2,
        }
        for _ in range(20):
            done = self.chance.choices(list(edits), list(edits.values()))[0]()
            if done:
                return done
        return self._rewrite()

    def files(self) -> list[str]:
        """The rel_paths of all files."""
        return sorted(
            os.path.relpath(os.path.join(folder, name), self.top)
            for folder, _, names in os.walk(self.top)
            for name in names
        )

    def folders(self) -> list[str]:
        """The rel_paths of all folders below the top."""
        return sorted(
            os.path.relpath(os.path.join(folder, name), self.top)
            for folder, names, _ in os.walk(self.top)
            for name in names
        )

    # --- edits: each returns what it did, or "" when it could not -------------------------------------------------

    def _create(self) -> str:
        path = self._new_path(FILES)
        if not path:
            return ""
        self._write(path, self.chance.choice(SIZES_BYTES))
        return f"create {path}"

    def _create_folder(self) -> str:
        folder = self._new_path(FOLDERS)
        if not folder:
            return ""
        (self.top / folder).mkdir()
        self._note(folder)
        for name in self.chance.sample(FILES, self.chance.randint(1, 4)):
            self._write(f"{folder}/{name}", self.chance.choice(SIZES_BYTES))
        if folder.count("/") < MOST_DEPTH - 1 and self.chance.random() < 0.5:
            deeper = f"{folder}/{self.chance.choice(FOLDERS)}"
            (self.top / deeper).mkdir()
            self._write(f"{deeper}/{self.chance.choice(FILES)}", 5)
        return f"create folder {folder}"

    def _append(self) -> str:
        path = self.chance.choice(self.files())
        with (self.top / path).open("ab") as file:
            file.write(self.chance.randbytes(7))
        self._date(path)
        return f"append to {path}"

    def _rewrite(self) -> str:
        """The same size, in the same second: only the nanoseconds differ."""
        path = self.chance.choice(self.files())
        status = (self.top / path).stat()
        self._write(path, status.st_size, second=status.st_mtime_ns // NS)
        return f"rewrite {path} in the same second"

    def _replace_by_older(self) -> str:
        path = self.chance.choice(self.files())
        second = (self.top / path).stat().st_mtime_ns // NS - self.chance.randint(1, 1000)
        self._write(path, self.chance.choice(SIZES_BYTES), second=second)
        return f"replace {path} by an older file"

    def _replace_at_once(self) -> str:
        path = self.chance.choice(self.files())
        aside = self.top.parent / "aside"
        aside.write_bytes(self.chance.randbytes(self.chance.choice(SIZES_BYTES)))
        aside.replace(self.top / path)
        self._date(path)
        return f"replace {path} with a rename"

    def _touch_now(self) -> str:
        path = self.chance.choice(self.files())
        (self.top / path).write_bytes(self.chance.randbytes(9))
        self._note(path)
        time.sleep(0.005)  # its time shall not be that of an edit to come
        return f"write {path} just now"

    def _rename(self) -> str:
        old, new = self.chance.choice(self.files()), self._new_path(FILES)
        if not new or old == KEPT:
            return ""
        (self.top / old).rename(self.top / new)
        self._note(old, is_gone=True)
        self._note(new)
        return f"rename {old} to {new}"

    def _rename_folder(self) -> str:
        folders, new = self.folders(), self._new_path(FOLDERS)
        old = self.chance.choice(folders) if folders else ""
        if not old or not new or new.startswith(f"{old}/"):
            return ""
        (self.top / old).rename(self.top / new)
        self._note(old, is_gone=True)
        self._note(new)
        return f"rename folder {old} to {new}"

    def _delete(self) -> str:
        path = self.chance.choice(self.files())
        if path == KEPT:
            return ""
        (self.top / path).unlink()
        self._note(path, is_gone=True)
        return f"delete {path}"

    def _delete_folder(self) -> str:
        folders = self.folders()
        if not folders:
            return ""
        path = self.chance.choice(folders)
        shutil.rmtree(self.top / path)
        self._note(path, is_gone=True)
        return f"delete folder {path}"

    def _make_empty_folder(self) -> str:
        path = self._new_path(FOLDERS)
        if not path:
            return ""
        (self.top / path).mkdir()
        self._note(path)
        return f"make the empty folder {path}"

    def _new_path(self, names: tuple[str, ...]) -> str:
        folder = self.chance.choice(["", "", *self.folders()])
        path = f"{folder}/{self.chance.choice(names)}".lstrip("/")
        return "" if path.count("/") >= MOST_DEPTH or (self.top / path).exists() else path

    def _write(self, path: str, size_bytes: int, *, second: int | None = None) -> None:
        (self.top / path).write_bytes(self.chance.randbytes(size_bytes))
        self._date(path, second=second)

    def _date(self, path: str, *, second: int | None = None) -> None:
        self._moments += 1
        if second is None:
            second = LONG_AGO_SECONDS + self.chance.randrange(5)
        moment_ns = second * NS + self._moments
        os.utime(self.top / path, ns=(moment_ns, moment_ns))
        self._note(path)

    def _note(self, path: str, *, is_gone: bool = False) -> None:
        self.age += 1
        if is_gone:
            self._removed[path] = self.age
        folder = path.rpartition("/")[0]
        for each in (path, f"{path}/", f"{folder}/"):  # what is in a folder decides whether it is sent as an empty one
            self._touched[each] = self.age
