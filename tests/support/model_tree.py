"""The source tree of the model, and all that may happen to it: one method an edit, each told what to do by numbers.

A number chooses among what is there, so that every edit means something whatever came before it. Unless times may be
put back, no path ever has the modification time of another content it held; where they may, ctime differs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from model_edits import NS, Moment
from suite import LONG_AGO

from autotransfer.common.paths import join

KEEP = "keep"  # a SRC_DIR that turns empty is refused: that is its own test
MOST_DEPTH = 3


class Tree:
    """SRC_DIR and its edits.

    Args:
        top: An empty folder.
        now_ns: The file server's clock.

    Attributes:
        touched: The paths that edits were about, in order.
        may_put_times_back: Whether contents may change that keep their time and size.
        put_back: The paths of which this is so.
    """

    def __init__(self, top: Path, now_ns: Callable[[], int]) -> None:
        self.top = top
        self.touched: list[str] = []
        self.may_put_times_back = False
        self.put_back: set[str] = set()
        self._now_ns = now_ns
        self._counter = 0
        self._held: set[tuple[str, int]] = set()
        self._folder_times: set[int] = set()
        self._write(KEEP, 3, Moment("long ago", 0))
        self._date_folders()

    def edit(self, kind: str, how: dict[str, Any]) -> str | None:
        """Do one of EDITS; gives what it was, None when nothing was there for it."""
        act: Callable[..., str | None] = getattr(self, f"_{kind}")
        done = act(**how)
        self._date_folders()
        return done

    def has_something_to(self, kind: str) -> bool:
        """Whether there is a path that such an edit could be about."""
        if kind in ("create", "plant", "mkdir", "symlink"):
            return True
        if kind == "rmdir":
            return any(not os.listdir(self.top / path) for path in self.folders()[1:])
        return bool(self.everything() if kind in ("rename", "delete", "change_kind", "chmod") else self.files())

    def has_changed(self, rel_path: str, since: int, until: int | None = None) -> bool:
        """Whether an edit was about this path, one above it or one below it."""
        return any(
            rel_path == each or rel_path.startswith(f"{each}/") or each.startswith(f"{rel_path}/") or not each
            for each in self.touched[since:until]
        )

    def folders(self) -> list[str]:
        """SRC_DIR itself as "", and every folder below it, sorted."""
        return sorted(path for path, status in self._walk() if stat.S_ISDIR(status.st_mode))

    def files(self) -> list[str]:
        """Every regular file but the one that stays, sorted."""
        return sorted(path for path, status in self._walk() if stat.S_ISREG(status.st_mode) and path != KEEP)

    def links(self) -> list[str]:
        """Every symlink, sorted."""
        return sorted(path for path, status in self._walk() if stat.S_ISLNK(status.st_mode))

    def everything(self) -> list[str]:
        """Every file and folder that may be edited."""
        return [*self.files(), *self.folders()[1:]]

    def lay_open(self) -> None:
        """Let everybody read everything, and let nothing look touched just now."""
        for path in (*self.folders(), *self.files()):
            (self.top / path).chmod(0o755)
        for path in self.folders()[1:]:
            os.utime(self.top / path, ns=(LONG_AGO * NS, LONG_AGO * NS))
        self._folder_times.add(LONG_AGO * NS)

    # --- edits ------------------------------------------------------------------------------------------------------

    def _create(self, where: int, name: str, size: int, moment: Moment) -> str | None:
        path = self._new_path(where, name)
        if os.path.lexists(self.top / path):
            return None
        self._write(path, size, moment)
        return f"create {path} {self._about(path)}"

    def _plant(self, where: int, name: str, shape: list[tuple[str, list[str]]], size: int) -> str | None:
        path = self._new_path(where, name)
        if os.path.lexists(self.top / path):
            return None
        (self.top / path).mkdir()
        self.touched.append(path)
        for child, names in shape:
            below = f"{path}/{child}"
            if os.path.lexists(self.top / below):
                continue
            if not names or below.count("/") >= MOST_DEPTH:
                self._write(below, size, Moment("long ago", 1))
                continue
            (self.top / below).mkdir()
            for each in names:
                self._write(f"{below}/{each}", size, Moment("long ago", 1))
        return f"plant {path} {sorted(str(each.relative_to(self.top)) for each in (self.top / path).rglob('*'))}"

    def _append(self, which: int, moment: Moment) -> str | None:
        path = self._pick(self.files(), which)
        if path is None:
            return None
        mtime_ns = self._moment_ns(moment, path)
        with (self.top / path).open("ab") as file:
            file.write(self._content(3))
        self._date(path, mtime_ns)
        return f"append {path} {self._about(path)}"

    def _rewrite(self, which: int, size: int | None, moment: Moment) -> str | None:
        path = self._pick(self.files(), which)
        if path is None:
            return None
        self._write(path, (self.top / path).stat().st_size if size is None else size, moment)
        return f"rewrite {path} {self._about(path)}"

    def _rewrite_in_the_same_second(self, which: int) -> str | None:
        return self._rewrite(which, None, Moment("as before", 0))

    def _replace_by_older(self, which: int, size: int | None, seconds: int) -> str | None:
        path = self._pick(self.files(), which)
        if path is None:
            return None
        status = (self.top / path).stat()
        aside = self.top.parent / "aside"
        aside.write_bytes(self._content(status.st_size if size is None else size))
        mtime_ns = self._moment_ns(Moment("as before", -seconds), path)
        os.replace(aside, self.top / path)
        self._date(path, min(mtime_ns, status.st_mtime_ns - self._counter))
        return f"replace {path} by an older copy {self._about(path)}"

    def _put_back(self, which: int) -> str | None:
        """Rewrite a file and put its time back."""
        path = self._pick(self.files(), which) if self.may_put_times_back else None
        if path is None:
            return None
        status = (self.top / path).stat()
        self._await_another_ctime(status.st_ctime_ns)
        (self.top / path).write_bytes(self._content(status.st_size))
        os.utime(self.top / path, ns=(status.st_mtime_ns, status.st_mtime_ns))
        self._note_put_back(path)
        return f"rewrite {path} and put its time back {self._about(path)}"

    def _rename_over(self, which: int) -> str | None:
        """Rename another file over one that has its time and size."""
        path = self._pick(self.files(), which) if self.may_put_times_back else None
        if path is None:
            return None
        status = (self.top / path).stat()
        aside = self.top.parent / "aside"
        aside.write_bytes(self._content(status.st_size))
        os.utime(aside, ns=(status.st_mtime_ns, status.st_mtime_ns))
        self._await_another_ctime(status.st_ctime_ns)
        os.replace(aside, self.top / path)
        self._note_put_back(path)
        return f"rename another file over {path} {self._about(path)}"

    def _await_another_ctime(self, ctime_ns: int) -> None:
        """Wait until the kernel gives another ctime: for up to its tick, 10 ms."""
        scratch = self.top.parent / "scratch"
        scratch.touch()
        while scratch.stat().st_ctime_ns <= ctime_ns:
            scratch.touch()

    def _note_put_back(self, path: str) -> None:
        touched = len(self.touched)
        self._touch_links(path)
        self.put_back.update(self.touched[touched:])

    def _touch(self, which: int, moment: Moment) -> str | None:
        path = self._pick(self.files(), which)
        if path is None:
            return None
        self._date(path, self._moment_ns(moment, path))
        return f"touch {path} {self._about(path)}"

    def _rename(self, which: int, where: int, name: str) -> str | None:
        old = self._pick(self.everything(), which)
        new = self._new_path(where, name)
        if old is None or new == old or new.startswith(f"{old}/") or old.startswith(f"{new}/"):
            return None
        source, target = self.top / old, self.top / new
        is_folder = source.is_dir()
        if target.is_dir() or (is_folder and (os.path.lexists(target) or new.count("/") + 2 > MOST_DEPTH)):
            return None
        about = self._about(old)
        self._remember(old)
        self._remember(new)
        os.rename(source, target)
        self.touched += [old, new]
        self._renew(new)
        return f"rename {old} {about} to {new} {self._about(new)}"

    def _delete(self, which: int) -> str | None:
        path = self._pick(self.everything(), which)
        if path is None:
            return None
        self._remember(path)
        self._remove(path)
        self.touched.append(path)
        return f"delete {path}"

    def _mkdir(self, where: int, name: str) -> str | None:
        path = self._new_path(where, name)
        if os.path.lexists(self.top / path):
            return None
        (self.top / path).mkdir()
        self.touched.append(path)
        return f"mkdir {path}"

    def _rmdir(self, which: int) -> str | None:
        path = self._pick([path for path in self.folders()[1:] if not os.listdir(self.top / path)], which)
        if path is None:
            return None
        (self.top / path).rmdir()
        self.touched.append(path)
        return f"rmdir {path}"

    def _change_kind(self, which: int) -> str | None:
        """A file becomes a folder, or a folder a file: the destination cannot follow until someone removes it there."""
        path = self._pick(self.everything(), which)
        if path is None:
            return None
        was_folder = (self.top / path).is_dir()
        self._remember(path)
        self._remove(path)
        if was_folder:
            self._write(path, 6, Moment("long ago", 2))
        else:
            (self.top / path).mkdir()
            self._write(f"{path}/a", 6, Moment("long ago", 2))
        self.touched.append(path)
        return f"{path} becomes a {'file' if was_folder else 'folder'}"

    def _symlink(self, where: int, name: str, which: int, aim: str) -> str | None:
        path = self._new_path(where, name)
        if os.path.lexists(self.top / path):
            return None
        candidates = {"file": self.files(), "folder": self.folders(), "nowhere": ["nowhere"], "itself": [path]}[aim]
        target = self._pick(candidates, which)
        if target is None:
            return None
        os.symlink(self.top / target, self.top / path)
        self.touched.append(path)
        return f"symlink {path} to {target}"

    def _hard_link(self, which: int, where: int, name: str) -> str | None:
        old, new = self._pick(self.files(), which), self._new_path(where, name)
        if old is None or os.path.lexists(self.top / new):
            return None
        os.link(self.top / old, self.top / new)
        self.touched.append(new)
        self._renew(new)
        return f"hard link {new} to {old} {self._about(new)}"

    def _chmod(self, which: int) -> str | None:
        path = self._pick(self.everything(), which)
        if path is None or os.geteuid():  # what watches the tree must see all of it
            return None
        mode = 0o000 if (self.top / path).stat().st_mode & 0o400 else 0o755
        (self.top / path).chmod(mode)
        self._touch_links(path)
        return f"chmod {mode:o} {path}"

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _walk(self) -> Iterator[tuple[str, os.stat_result]]:
        todo = [""]
        while todo:
            folder = todo.pop()
            yield folder, (self.top / folder).stat()
            for name in os.listdir(self.top / folder):
                status = (self.top / folder / name).lstat()
                if stat.S_ISDIR(status.st_mode):
                    todo.append(join(folder, name))
                else:
                    yield join(folder, name), status

    @staticmethod
    def _pick(candidates: list[str], which: int) -> str | None:
        return candidates[which % len(candidates)] if candidates else None

    def _new_path(self, where: int, name: str) -> str:
        folders = [path for path in self.folders() if path.count("/") < MOST_DEPTH - 1]
        return join(folders[where % len(folders)], name)

    def _content(self, size_bytes: int) -> bytes:
        """Bytes that no other content has, as far as there is room for that."""
        self._counter += 1
        return self._counter.to_bytes(max(size_bytes, 3), "little")[:size_bytes]

    def _moment_ns(self, moment: Moment, rel_path: str) -> int:
        """A modification time of that second, never the same twice."""
        self._counter += 1
        target = self.top / rel_path
        before_ns = target.stat().st_mtime_ns if target.exists() else LONG_AGO * NS
        base_ns = {"long ago": LONG_AGO * NS, "as before": before_ns, "now": self._now_ns(), "1970": 0}[moment.base]
        return (base_ns // NS + moment.seconds) * NS + self._counter

    def _write(self, rel_path: str, size_bytes: int, moment: Moment) -> None:
        mtime_ns = self._moment_ns(moment, rel_path)
        (self.top / rel_path).write_bytes(self._content(size_bytes))
        self._date(rel_path, mtime_ns)

    def _date(self, rel_path: str, mtime_ns: int) -> None:
        os.utime(self.top / rel_path, ns=(mtime_ns, mtime_ns))
        self._touch_links(rel_path)

    def _touch_links(self, rel_path: str) -> None:
        """Note an edit, also of every other name of the same file: a hard link, or a symlink that may be followed."""
        status = (self.top / rel_path).stat()
        self.touched.append(rel_path)
        self.touched += [
            path
            for path, other in self._walk()
            if (other.st_ino == status.st_ino and stat.S_ISREG(other.st_mode)) or stat.S_ISLNK(other.st_mode)
        ]

    def _remember(self, rel_path: str) -> None:
        """Note what the path, or every one below it, holds before that goes away."""
        for path, status in self._walk():
            if path == rel_path or path.startswith(f"{rel_path}/"):
                self._held.add((path, status.st_mtime_ns))

    def _renew(self, rel_path: str) -> None:
        """Give what came here, and was here before, a new time."""
        for path, status in list(self._walk()):
            is_here = path == rel_path or path.startswith(f"{rel_path}/")
            if is_here and stat.S_ISREG(status.st_mode) and (path, status.st_mtime_ns) in self._held:
                self._date(path, self._moment_ns(Moment("as before", 0), path))

    def _remove(self, rel_path: str) -> None:
        path = self.top / rel_path
        if path.is_dir() and not path.is_symlink():
            for name in os.listdir(path):
                self._remove(join(rel_path, name))
            path.rmdir()
        else:
            path.unlink()

    def _date_folders(self) -> None:
        """Let folders that were changed carry the file server's time, not this machine's."""
        for path in self.folders():
            if (self.top / path).stat().st_mtime_ns not in self._folder_times:
                moment_ns = self._now_ns()
                os.utime(self.top / path, ns=(moment_ns, moment_ns))
                self._folder_times.add(moment_ns)

    def _about(self, rel_path: str) -> str:
        status = (self.top / rel_path).lstat()
        return f"({status.st_mtime_ns}, {status.st_size})"
