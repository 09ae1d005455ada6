"""Which folders a quick scan lists: what is just below, at and above each limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tasks_in_memory import settings_of

from autotransfer.common.times import NS_PER_SECOND
from autotransfer.datastore.folder_times import Times
from autotransfer.datastore.record import Delivered, Folder
from autotransfer.datastore.store import FULL_SCAN, IN_MEMORY, Store
from autotransfer.scan import quick
from autotransfer.scan.folders import open_root, read_folder
from autotransfer.scan.listing import Listing, Unchanged
from autotransfer.scan.quick import SAMPLE, Marking, stale_folders

NOW_NS = 1_900_000_000 * NS_PER_SECOND
LONG_AGO_NS = 1_700_000_000 * NS_PER_SECOND


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "src").mkdir()
    descriptor = open_root(str(tmp_path / "src"))
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(IN_MEMORY) as store:
        yield store


def make_folders(tmp_path: Path, store: Store, above: str, count: int, *, has_folders: bool = False) -> list[str]:
    """That many folders, each marked as holding two files; returns their names."""
    names = [f"{number:03}" for number in range(count)]
    for name in names:
        (tmp_path / "src" / above / name).mkdir(parents=True, exist_ok=True)
    store.folder_times.set_folders(above, names)
    for name in names:
        mark(tmp_path, store, f"{above}/{name}".lstrip("/"), has_folders=has_folders)
    return names


def mark(tmp_path: Path, store: Store, rel_path: str, *, has_folders: bool = False) -> None:
    status = (tmp_path / "src" / rel_path).stat()
    store.folder_times.set(rel_path, Times(status.st_mtime_ns, status.st_ctime_ns, 2, has_folders))


def touch(path: Path) -> None:
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


@pytest.mark.parametrize("slow_seconds", [0.0, 1e9], ids=["several at a time", "one by one"])
@pytest.mark.parametrize("count", [1, SAMPLE - 1, SAMPLE, SAMPLE + 1, 2 * SAMPLE + 1])
def test_a_changed_folder_is_found_wherever_it_stands_among_many(
    tmp_path: Path, store: Store, root: int, count: int, slow_seconds: float
) -> None:
    names = make_folders(tmp_path, store, "", count)
    changed = {names[0], names[count // 2], names[min(SAMPLE, count) - 1], names[-1]}
    for name in changed:
        touch(tmp_path / "src" / name)
    with mock.patch.object(quick, "SLOW_SECONDS", slow_seconds):
        found = stale_folders(root, store.folder_times, "", names)

    assert found.stale == sorted(changed)
    assert (found.folders, found.files) == (count - len(changed), 2 * (count - len(changed)))


def test_a_system_without_threads_checks_one_after_the_other(tmp_path: Path, store: Store, root: int) -> None:
    names = make_folders(tmp_path, store, "", 2 * SAMPLE)
    touch(tmp_path / "src" / names[-1])
    with (
        mock.patch.object(quick, "SLOW_SECONDS", 0.0),
        mock.patch("concurrent.futures.ThreadPoolExecutor.map", side_effect=RuntimeError("can't start new thread")),
    ):
        assert stale_folders(root, store.folder_times, "", names).stale == [names[-1]]


def test_folders_below_unchanged_ones_are_checked_too(tmp_path: Path, store: Store, root: int) -> None:
    make_folders(tmp_path, store, "000", 3)
    make_folders(tmp_path, store, "", 2, has_folders=True)
    touch(tmp_path / "src/000/001")
    found = stale_folders(root, store.folder_times, "", ["000", "001"])

    assert (found.stale, found.folders, found.files) == (["000/001"], 4, 8)


def test_only_the_folder_that_changed_is_listed_and_not_what_is_known_below_it(
    tmp_path: Path, store: Store, root: int
) -> None:
    make_folders(tmp_path, store, "000", 3)
    make_folders(tmp_path, store, "", 1, has_folders=True)
    touch(tmp_path / "src/000")

    assert stale_folders(root, store.folder_times, "", ["000"]).stale == ["000"]


@pytest.mark.parametrize("kind", ["gone", "file", "link", "unknown"])
def test_what_is_no_folder_as_marked_is_listed(tmp_path: Path, store: Store, root: int, kind: str) -> None:
    names = make_folders(tmp_path, store, "", 2)
    path = tmp_path / "src" / names[0]
    if kind == "unknown":
        store.folder_times.drop(names[0])
    else:
        path.rmdir()
    if kind == "file":
        path.write_text("")
    elif kind == "link":
        path.symlink_to(names[1])

    assert stale_folders(root, store.folder_times, "", names).stale == [names[0]]


def test_without_times_of_a_folder_all_below_it_is_listed(store: Store, root: int) -> None:
    assert stale_folders(root, store.folder_times, "", ["b", "a"]) == (["b", "a"], 0, 0)


# ---- which times are trusted, and which are kept -----------------------------------------------------------------


def marking(tmp_path: Path, store: Store, *, now_ns: int = NOW_NS, root: int = -1, **options: Any) -> Marking:
    arguments = {name: options.pop(name) for name in ("is_full", "may_mark") if name in options}
    settings = settings_of(tmp_path, **{"SCAN": "quick", "FULL_SCAN_EVERY": "1 hour", **options})
    return Marking(settings, store, now_ns=now_ns, root_fd=root, **{"is_full": False, **arguments})


HOUR_NS = 3600 * NS_PER_SECOND


@pytest.mark.parametrize(
    ("age_ns", "is_quick"), [(0, True), (HOUR_NS - 1, True), (HOUR_NS, False), (HOUR_NS + 1, False), (-1, False)]
)
def test_a_quick_scan_follows_a_full_one_for_as_long_as_the_setting_says(
    tmp_path: Path, store: Store, age_ns: int, is_quick: bool
) -> None:
    first = marking(tmp_path, store)
    first.finish()

    assert not first.is_quick
    assert marking(tmp_path, store, now_ns=NOW_NS + age_ns).is_quick == is_quick


@pytest.mark.parametrize(
    ("options", "is_quick"),
    [
        ({}, True),
        ({"is_full": True}, False),
        ({"may_mark": False}, False),
        ({"SCAN": "full"}, False),
        ({"EXCLUDE": ["*.tmp"]}, False),
        ({"SYMLINKS": "follow"}, False),
        ({"COMPARE": "ctime"}, False),
    ],
)
def test_a_scan_is_quick_only_as_the_full_one_was_made(
    tmp_path: Path, store: Store, options: dict[str, Any], is_quick: bool
) -> None:
    marking(tmp_path, store).finish()

    assert marking(tmp_path, store, **options).is_quick == is_quick


@pytest.mark.parametrize("options", [{"may_mark": False}, {"SCAN": "full"}])
def test_times_that_are_no_longer_used_are_forgotten(tmp_path: Path, store: Store, options: dict[str, Any]) -> None:
    marking(tmp_path, store).finish()
    make_folders(tmp_path, store, "", 2)
    store.commit()
    marking(tmp_path, store, **options)

    assert store.shelf.get(FULL_SCAN) is None
    assert store.folder_times.columns("") is None


def test_a_quick_scan_is_not_taken_for_a_full_one(tmp_path: Path, store: Store) -> None:
    marking(tmp_path, store).finish()
    second = marking(tmp_path, store, now_ns=NOW_NS + 1)
    second.finish()

    assert store.shelf[FULL_SCAN]["at_ns"] == NOW_NS


def unchanged(age_seconds: float, *, ctime_age_seconds: float | None = None, **fields: Any) -> Unchanged:
    """A folder that is as recorded, and that changed that long before NOW_NS."""
    ages = (age_seconds, age_seconds if ctime_age_seconds is None else ctime_age_seconds)
    mtime_ns, ctime_ns = (NOW_NS - int(age * NS_PER_SECOND) for age in ages)
    found = Unchanged(3, 0, 0, ["below"], mtime_ns, ctime_ns, True)
    return found._replace(**fields)


@pytest.mark.parametrize(
    ("settle_seconds", "result", "is_kept"),
    [
        (0, unchanged(1.9), False),
        (0, unchanged(2), False),
        (0, unchanged(2.1), True),
        (0, unchanged(9, ctime_age_seconds=1.9), False),
        (10, unchanged(10), False),
        (10, unchanged(10.1), True),
        (0, unchanged(9, is_plain=False), False),
    ],
)
def test_times_are_kept_only_of_what_has_been_at_rest_for_longer_than_a_time_step(
    tmp_path: Path, store: Store, settle_seconds: float, result: Unchanged, is_kept: bool
) -> None:
    store.folder_times.set_folders("", ["a"])
    marking(tmp_path, store, SETTLE_SECONDS=settle_seconds).note("a", result)

    kept = store.folder_times.of("").get("a")
    assert kept == (Times(result.mtime_ns, result.ctime_ns, 3, True) if is_kept else None)
    assert list(store.folder_times.of("a")) == ["below"]


@pytest.mark.parametrize("is_listed", [True, False])
def test_times_kept_before_are_dropped_once_the_folder_is_not_as_recorded(
    tmp_path: Path, store: Store, root: int, is_listed: bool
) -> None:
    make_folders(tmp_path, store, "", 1)
    marking(tmp_path, store).note("000", listed(root, "000") if is_listed else unchanged(0))

    assert store.folder_times.of("") == {"000": None}


def test_no_times_are_kept_where_they_are_not_used(tmp_path: Path, store: Store) -> None:
    marking(tmp_path, store, SCAN="full").note("", unchanged(9))

    assert store.folder_times.columns("") is None


# ---- times that have missed something ----------------------------------------------------------------------------


def listed(root: int, rel_path: str) -> Listing:
    return read_folder(root, rel_path, lambda name: False, follow_links=False, clock_ns=lambda: NOW_NS)


def note_marked(tmp_path: Path, store: Store, root: int, *recorded: str, **options: Any) -> Marking:
    """A full scan's marking, after it has noted a folder `a` with the file x, of which these names are recorded."""
    (tmp_path / "src/a").mkdir()
    (tmp_path / "src/a/x").write_text("")
    store.folder_times.set_folders("", ["a"])
    marking(tmp_path, store).finish()
    mark(tmp_path, store, "a")
    folder = Folder()
    folder.delivered = {name: Delivered(1, 0, 1, 1) for name in recorded}
    store.trie.put_record("a", folder.pack())
    mark(tmp_path, store, "a")
    full = marking(tmp_path, store, root=root, **{"is_full": True, **options})
    full.note("a", listed(root, "a"), store.trie.record("a"))
    return full


@pytest.mark.parametrize(("recorded", "is_blind"), [(["x"], False), (["x", "gone"], True), (["y"], True)])
def test_times_as_marked_over_other_names_are_found_blind(
    tmp_path: Path, store: Store, root: int, recorded: list[str], is_blind: bool
) -> None:
    full = note_marked(tmp_path, store, root, *recorded)
    full.finish()

    assert full.blind_folder == ("a" if is_blind else None)
    assert (store.shelf.get(FULL_SCAN) is None) == is_blind
    assert (store.folder_times.columns("") is None) == is_blind


def test_times_that_were_marked_under_other_rules_prove_nothing(tmp_path: Path, store: Store, root: int) -> None:
    assert note_marked(tmp_path, store, root, EXCLUDE=["*.tmp"]).blind_folder is None


def test_a_folder_that_changes_while_it_is_read_is_not_blind(tmp_path: Path, store: Store, root: int) -> None:
    full = note_marked(tmp_path, store, root, "x")
    before = listed(root, "a")
    mark(tmp_path, store, "a")
    (tmp_path / "src/a/new").write_text("")
    touch(tmp_path / "src/a")
    full.note("a", before._replace(files={"x": (1, 0), "new": (1, 0)}), store.trie.record("a"))

    assert full.blind_folder is None
