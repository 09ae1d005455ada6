"""Change feeds: what is looked at, what is kept for the next one, and that a perfect feed is as good as a scan."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import pytest
from shelves import DictShelf
from suite import LONG_AGO, Route

from autotransfer.common.summary import Summary
from autotransfer.datastore.record import Delivered, Folder
from autotransfer.datastore.store import IN_MEMORY, RESCAN, Store
from autotransfer.datastore.trie import PathTrie
from autotransfer.plan.rescan import Rescan, kept_paths, rescan_later
from autotransfer.run import Run, Watcher
from autotransfer.scan import feed
from autotransfer.scan.feed import locate_names, split_names
from autotransfer.scan.folders import open_root
from autotransfer.scan.listing import Policy
from emulator.http.server import Emulator
from utils import load_settings

SEEDS = (7, 292)  # 292: a folder whose last file went away while a task carried it
ROUNDS = 25
HOUR_NS = 3600 * 10**9


# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"", [""]),
        (b"a\nb c\n", ["a", "b c", ""]),
        (b"a\nb\0c\0", ["a\nb", "c", ""]),
        (b"\xff\n", ["\udcff", ""]),
    ],
)
def test_names_end_with_nul_where_there_is_one_else_with_a_newline(text: bytes, names: list[str]) -> None:
    assert split_names(text) == names


@contextmanager
def root_of(top: Path) -> Iterator[int]:
    root_fd = open_root(str(top))
    try:
        yield root_fd
    finally:
        os.close(root_fd)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source with a folder, a link to that folder, a link that leads away, and a link to the source itself."""
    (tmp_path / "src/run/deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "src/latest").symlink_to("run")
    (tmp_path / "src/away").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "alias").symlink_to("src")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("{src}/run/a", {"run/a"}),
        ("{top}/alias/run/a", {"run/a"}),
        ("{src}//run/./a/", {"run/a"}),
        ("./run/a", {"run/a"}),
        ("run/../run/a", {"run/a"}),
        ("run/deep", {"run/deep"}),
        ("{src}", {""}),
        (".", {""}),
        ("latest", {"latest"}),
        ("latest/deep/a", {"latest", "run/deep/a"}),
        ("away/a", {"away"}),
        ("gone/deep/a", {"gone"}),
        ("run/a.tmp", set()),
        ("cache/x", set()),
        ("bad\udcff/x", {"bad\udcff"}),
    ],
)
def test_a_name_leads_to_where_it_is_in_the_tree(tree: Path, name: str, places: set[str]) -> None:
    src = tree / "src"
    (src / "cache").mkdir()
    with root_of(src) as root_fd:
        named = locate_names(str(src), Policy(("*.tmp", "cache")), root_fd, [name.format(src=src, top=tree), ""])

    assert named.rel_paths == places
    assert (named.names, named.outside) == (1, 0)


def test_names_outside_the_tree_are_counted_and_the_first_of_them_told_by_number(tree: Path) -> None:
    names = ["run/a", *[f"{tree}/elsewhere/{number}" for number in range(12)], "../elsewhere/x", str(tree)]
    with root_of(tree / "src") as root_fd:
        named = locate_names(str(tree / "src"), Policy(), root_fd, names)

    assert (named.rel_paths, named.names, named.outside) == ({"run/a"}, 15, 14)
    assert named.examples[0] == (2, f"{tree}/elsewhere/0")
    assert len(named.examples) == feed.MAX_EXAMPLES


def test_more_names_than_can_be_looked_at_one_by_one_mean_everything(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_NAMED", 3)
    with root_of(tree / "src") as root_fd:
        few = locate_names(str(tree / "src"), Policy(), root_fd, ["1", "2", "3"])
        many = locate_names(str(tree / "src"), Policy(), root_fd, ["1", "2", "3", "4"])

    assert few.rel_paths == {"1", "2", "3"}
    assert "" in many.rel_paths


def test_kept_paths_whose_folders_became_links_or_files_lead_to_those(tree: Path) -> None:
    (tree / "src/file").write_text("x")
    with root_of(tree / "src") as root_fd:
        named = locate_names(str(tree / "src"), Policy(), root_fd, [], ["latest/a", "file/x/y", "run/a"])

    assert (named.rel_paths, named.names) == ({"latest", "file", "run/a"}, 0)


# ---- what is kept --------------------------------------------------------------------------------------------------


def test_nothing_is_kept_where_there_are_no_feeds() -> None:
    with Store(IN_MEMORY) as store:
        again = Rescan(store, is_used=False)
        again.add("a")
        again.finish(has_scanned_all=True)
        rescan_later(store, ["b"])

        assert store.shelf.get(RESCAN) is None
        assert kept_paths(store) == {""}


def test_what_a_scan_saw_replaces_what_was_kept_and_what_a_quick_one_saw_is_added() -> None:
    with Store(IN_MEMORY) as store:
        again = Rescan(store, is_used=True)
        again.add("a\nb/c")
        again.finish(has_scanned_all=True)
        rescan_later(store, ["b"])
        assert kept_paths(store) == {"a\nb/c", "b"}

        quick = Rescan(store, is_used=False)
        quick.add("d")
        quick.finish(has_scanned_all=False)
        assert kept_paths(store) == {"a\nb/c", "b", "d"}

        Rescan(store, is_used=False).finish(has_scanned_all=True)
        assert kept_paths(store) == set()


def test_more_than_can_be_kept_means_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotransfer.plan.rescan.MOST_KEPT", 2)
    with Store(IN_MEMORY) as store:
        again = Rescan(store, is_used=True)
        for name in "abcdef":
            again.add(name)
        again.finish(has_scanned_all=True)

        assert kept_paths(store) == {""}


# ---- the order of a walk -------------------------------------------------------------------------------------------


def test_folders_come_as_in_a_walk_and_no_unnamed_file_is_looked_at(tmp_path: Path) -> None:
    for rel_path in ("b/1", "b/2", "b/x/1", "b-c/1", "a/d/e/1", "a/d/2", "z"):
        (tmp_path / rel_path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / rel_path).write_text("x")
    trie = PathTrie(DictShelf())
    known = Folder()
    known.delivered = {"2": Delivered(1, 1, 1, 1)}
    trie.put("b", known)
    trie.link("b")
    with root_of(tmp_path) as root_fd:
        named = ["b/x", "b/1", "b/x/1", "a/d", "z", "b-c/1"]
        folders = feed.Feed(trie, root_fd, Policy(), named, clock_ns=time.time_ns)
        results = {folder.rel_path: folder.result for folder in folders}

    assert list(results) == ["", "a", "a/d", "a/d/e", "b", "b/x", "b-c"]
    seen = {
        rel_path: set(getattr(result, "files", ())) for rel_path, result in results.items() if rel_path in ("", "b")
    }
    assert seen == {"": {"z"}, "b": {"1"}}
    assert getattr(results["b"], "kept", None) == {"2"}
    assert results[""].folders == ["a", "b-c"]  # "b" is recorded, so it need not be linked


# ---- a perfect feed is as good as a scan ---------------------------------------------------------------------------


class Editor:
    """Edits a tree at random, and says what a perfect feed would."""

    def __init__(self, top: Path, chance: random.Random, now_ns: Callable[[], int]) -> None:
        self._top = top
        self._chance = chance
        self._now_ns = now_ns
        self._count = 0

    def edit(self) -> list[str]:
        """Do one edit; gives the rel_paths it touched."""
        often = [self._write] * 3
        edits = [*often, self._rewrite, self._delete, self._rename, self._plant]
        edits += [self._replace, self._make_folder, self._link]
        touched = self._chance.choice(edits)()
        return [str(path.relative_to(self._top)) for path in touched]

    def _folders(self) -> list[Path]:
        return [self._top, *(path for path in sorted(self._top.rglob("*")) if path.is_dir() and not path.is_symlink())]

    def _files(self) -> list[Path]:
        return [path for path in sorted(self._top.rglob("*")) if path.is_file() and not path.is_symlink()]

    def _fresh(self) -> Path:
        self._count += 1
        name = self._chance.choice(["a", "b", "c", f"n{self._count}", "x.tmp", f"né\n{self._count}"])
        path = self._chance.choice(self._folders()) / name
        return path if not os.path.lexists(path) else path.with_name(f"{name}{self._count}")

    def _put(self, path: Path) -> None:
        path.write_text("x" * self._chance.randrange(9))
        # Long ago, or now: then it is touched too recently for this run.
        moment_ns = self._chance.choice([LONG_AGO * 10**9, self._now_ns()]) + self._chance.randrange(10**9)
        os.utime(path, ns=(moment_ns, moment_ns))

    def _write(self) -> list[Path]:
        path = self._fresh()
        self._put(path)
        return [path]

    def _rewrite(self) -> list[Path]:
        files = self._files()
        if not files:
            return []
        path = self._chance.choice(files)
        self._put(path)
        return [path]

    def _any(self) -> Optional[Path]:
        paths = sorted(self._top.rglob("*"))
        return self._chance.choice(paths) if len(paths) > 4 else None

    def _delete(self) -> list[Path]:
        path = self._any()
        if path is None:
            return []
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        return [path]

    def _rename(self) -> list[Path]:
        path, target = self._any(), self._fresh()
        if path is None or target.is_relative_to(path):
            return []
        path.rename(target)
        return [path, target]

    def _plant(self) -> list[Path]:
        top = self._fresh()
        for depth in range(self._chance.randrange(1, 4)):
            folder = top.joinpath(*"pqr"[:depth])
            folder.mkdir()
            for number in range(self._chance.randrange(3)):
                self._put(folder / str(number))
        return [top]

    def _replace(self) -> list[Path]:
        path = self._any()
        if path is None:
            return []
        is_folder = path.is_dir() and not path.is_symlink()
        self._delete_path(path)
        if is_folder:
            self._put(path)
        else:
            path.mkdir()
            self._put(path / "inside")
        return [path]

    def _delete_path(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    def _make_folder(self) -> list[Path]:
        path = self._fresh()
        path.mkdir()
        return [path]

    def _link(self) -> list[Path]:
        path = self._fresh()
        path.symlink_to("nowhere")
        return [path]


class Clock:
    """The time, which can be moved."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead_ns


def run(route: Route, clock: Clock, names: list[str] | None) -> Summary:
    """One run in this process."""
    settings = load_settings(str(route.config))
    with Store(settings.state_file("datastore")) as store:
        one = Run(settings, store, Watcher(), names=names, clock_ns=clock)
        one.perform()
        return one.summary


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_edits_and_a_perfect_feed_a_full_scan_finds_nothing_to_send(
    route: Route, globus: Emulator, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    clock = Clock()
    for name, value in globus.environment().items():
        monkeypatch.setenv(name, value)
    route.configure(SETTLE_SECONDS=60, EXCLUDE=["*.tmp"], MAX_ITEMS_PER_TASK=4, MAX_TASKS_IN_FLIGHT=3)
    editor = Editor(route.src, chance, clock)
    route.write("keep/forever.dat")
    assert run(route, clock, []).scan == "full"
    scans, sent = [], 0
    for _ in range(ROUNDS):
        globus.world.set_progress(chance.choice(["immediate", "immediate", "polls:2", "polls:4"]))
        globus.world.clear_outcomes()
        if chance.random() < 0.3:
            globus.world.add_outcome(chance.choice(["fail", "skip"]), path="*", times=1)
        names = [name for _ in range(chance.randrange(12)) for name in editor.edit()]
        chance.shuffle(names)
        summary = run(route, clock, names)
        scans.append(summary.scan)
        sent += summary.sent_files
        clock.ahead_ns += chance.choice([10, 120]) * 10**9
    globus.world.set_progress("immediate")
    globus.world.clear_outcomes()
    for _ in range(12):
        make_way(route)
        clock.ahead_ns += 30 * HOUR_NS
        summary = run(route, clock, [])
        if not (summary.in_flight_tasks or summary.changes):
            break

    last = run(route, clock, None)

    assert sent > 5
    assert set(scans) == {"paths"}
    assert last.scan == "full"
    found = {name: count for name, count in last.counts().items() if name not in ("folders", "files", "links")}
    assert found == dict.fromkeys(found, 0)
    with Store(str(route.code_path / "datastore"), is_read_only=True) as store:
        assert store.shelf[RESCAN] == ""
    wanted = {path: content for path, content in route.tree().items() if is_sent(route, path)}
    copies = route.tree(route.dst)
    assert {path: copies.get(path, "missing") for path in wanted} == wanted


def is_sent(route: Route, rel_path: str) -> bool:
    """Whether nothing on the way is excluded, and it is no link."""
    return ".tmp" not in rel_path and not (route.src / rel_path).is_symlink()


def make_way(route: Route) -> None:
    """Take away what is of another kind at the destination, which the tool leaves to a person."""
    for path in sorted(route.src.rglob("*")):
        copy = route.dst / path.relative_to(route.src)
        if copy.exists() and copy.is_dir() != path.is_dir():
            if copy.is_dir():
                shutil.rmtree(copy)
            else:
                copy.unlink()
