"""Walking a tree: everything that can lie in one, and that its errors are answers."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.datastore.record import EMPTY_FOLDER
from autotransfer.scan.folders import PathReader, open_folder, open_root, read_folder, read_names, walk
from autotransfer.scan.listing import Listing, PathError, Policy

NS = 10**9


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    root_fd = open_root(str(tmp_path))
    yield root_fd
    os.close(root_fd)


ALL = Policy()


def listings(root_fd: int, policy: Policy = ALL, *, start: str = "") -> dict[str, Listing]:
    return {listing.rel_path: listing for listing in walk(root_fd, policy, start=start)}


def test_folders_come_parents_first_and_siblings_by_name(root: int, tmp_path: Path) -> None:
    for path in ("b/x/y", "a.b", "a/c", "a/b", "B"):
        (tmp_path / path).mkdir(parents=True)

    assert list(listings(root)) == ["", "B", "a", "a/b", "a/c", "a.b", "b", "b/x", "b/x/y"]
    assert list(listings(root, start="b")) == ["b", "b/x", "b/x/y"]


def test_a_file_is_known_by_its_nanoseconds_and_size(root: int, tmp_path: Path) -> None:
    for name, mtime_ns in (
        ("now", 1_700_000_000_123_456_789),
        ("before 1970", -5 * NS + 1),
        ("late", 8_000_000_000 * NS),
    ):
        (tmp_path / name).write_text("12345")
        os.utime(tmp_path / name, ns=(0, mtime_ns))

    assert listings(root)[""].files == {
        "now": (1_700_000_000_123_456_789, 5),
        "before 1970": (-5 * NS + 1, 5),
        "late": (8_000_000_000 * NS, 5),
    }


def test_an_empty_folder_is_one_entry_of_its_own(root: int, tmp_path: Path) -> None:
    for path in ("empty", "links", "excluded", "special"):
        (tmp_path / path).mkdir()
    (tmp_path / "links/link").symlink_to("nowhere")
    (tmp_path / "excluded/a.tmp").write_text("")
    os.mkfifo(tmp_path / "special/pipe")

    found = listings(root, Policy(exclude=("*.tmp",)))

    assert found[""].files == {}
    for path in ("empty", "links", "excluded"):
        assert found[path].files == {FOLDER_ITSELF: EMPTY_FOLDER}
    assert found["special"].files == {}


def test_pipes_sockets_and_devices_are_counted_and_never_opened(root: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        listing = listings(root, Policy(follow_links=True))[""]

    assert (listing.files, listing.special_files, listing.errors, listing.is_plain) == ({}, 2, (), False)


def test_links_are_left_out_unless_they_are_followed_to_files(root: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("123")
    (tmp_path / "folder").mkdir()
    for name, target in (("to file", "file"), ("to folder", "folder"), ("broken", "nowhere"), ("loop", "loop")):
        (tmp_path / name).symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to pipe").symlink_to("pipe")

    left_out = listings(root)[""]
    followed = listings(root, Policy(follow_links=True))[""]

    assert (set(left_out.files), left_out.links, left_out.errors) == ({"file"}, 5, ())
    assert (set(followed.files), followed.links, followed.folders) == ({"file", "to file"}, 2, ["folder"])
    assert {error.rel_path: error.why for error in followed.errors} == {
        "broken": "symlink cannot be followed: no such file or directory",
        "loop": "symlink cannot be followed: too many levels of symbolic links",
    }
    assert followed.kept == {"broken", "loop"}
    assert not followed.is_plain


def test_names_that_globus_cannot_carry_are_reported_and_skipped(root: int, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("")
    os.close(os.open(os.fsencode(tmp_path) + b"/bad\xff", os.O_CREAT, 0o600))
    os.mkdir(os.fsencode(tmp_path) + b"/folder\xfe")
    (tmp_path / "cr\r\nlf").write_text("")
    (tmp_path / "only\nlf").write_text("")

    listing = listings(root)[""]

    assert set(listing.files) == {"good", "only\nlf"}
    assert listing.folders == []
    assert len(listing.errors) == 3
    assert "no name with CR LF" in next(error.why for error in listing.errors if error.rel_path == "cr\r\nlf")
    assert not listing.is_plain


patterns = st.lists(st.text("ab*?[]!.-\n", min_size=1, max_size=5), max_size=3)


@given(patterns, st.text("ab.-[]!\nA", min_size=1, max_size=6))
def test_exclude_means_what_fnmatch_of_names_means(exclude: list[str], name: str) -> None:
    excludes = Policy(exclude=tuple(exclude)).excludes()

    assert bool(excludes(name)) is any(fnmatchcase(name, pattern) for pattern in exclude)


def test_an_excluded_folder_hides_all_below_it_and_keeps_its_name(root: int, tmp_path: Path) -> None:
    (tmp_path / "scratch/deep").mkdir(parents=True)
    (tmp_path / "scratch/deep/x").write_text("")
    (tmp_path / "Scratch").mkdir()

    found = listings(root, Policy(exclude=("scratch",)))

    assert set(found) == {"", "Scratch"}
    assert found[""].kept == {"scratch"}


def test_a_folder_that_cannot_be_listed_is_an_error_and_one_that_went_away_is_not(root: int, tmp_path: Path) -> None:
    gone = read_folder(root, "gone", None, follow_links=False)
    (tmp_path / "file").write_text("")
    file = read_folder(root, "file", None, follow_links=False)

    assert (gone.is_readable, gone.errors) == (False, ())
    assert gone.moved == (PathError("gone", "no such file or directory"),)
    assert (file.is_readable, file.errors, file.moved) == (False, (), (PathError("file", "not a directory"),))


@pytest.mark.parametrize("follow_links", [False, True])
def test_names_are_sorted_by_what_they_are_as_in_the_whole_folder(
    root: int, tmp_path: Path, follow_links: bool
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, target in (("to file", "file"), ("to folder", "folder"), ("to nothing", "nowhere")):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "a\r\nb").write_text("")

    whole = read_folder(root, "", None, follow_links=follow_links, clock_ns=lambda: 5)
    names = read_names(root, "", [*os.listdir(root), "gone"], follow_links=follow_links, clock_ns=lambda: 5)

    assert (whole.special_files, whole.links, len(whole.errors)) == (1, 1 if follow_links else 3, 1 + follow_links)
    assert names == whole._replace(is_plain=False)


def test_an_entry_that_changes_while_the_folder_is_listed_is_what_it_became(
    root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).write_text("x")
    scandir = os.scandir

    @contextmanager
    def scandir_then_change(folder_fd: int) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(folder_fd) as entries:
            found = list(entries)
        for name in ("a", "b", "c"):
            (tmp_path / name).unlink()
        (tmp_path / "a").mkdir()
        (tmp_path / "b").symlink_to("d")
        yield found

    monkeypatch.setattr(os, "scandir", scandir_then_change)

    listing = read_folder(root, "", None, follow_links=False)

    assert (set(listing.files), listing.folders, listing.links) == ({"d"}, ["a"], 1)
    assert (listing.kept, listing.errors, listing.is_plain) == (frozenset("c"), (), False)
    assert listing.moved == (PathError("c", "no such file or directory"),)


def test_a_name_that_a_damaged_folder_lists_twice_is_one_entry(
    root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    scandir = os.scandir

    @contextmanager
    def twice(folder_fd: int) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(folder_fd) as entries:
            yield [*entries] * 2

    monkeypatch.setattr(os, "scandir", twice)

    listing = read_folder(root, "", None, follow_links=False)

    assert (list(listing.files), listing.folders) == (["file"], ["folder"])


def test_of_some_names_one_that_the_folder_lists_is_not_gone(
    root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd").write_text("")

    def nowhere(name: str, **_: object) -> os.stat_result:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)

    monkeypatch.setattr(os, "stat", nowhere)

    listing = read_names(root, "", ["odd", "gone"], follow_links=False)

    assert (dict(listing.files), set(listing.kept)) == ({}, {"odd"})
    assert listing.moved == (PathError("odd", "no such file or directory"),)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_folder_is_reported_and_its_records_stay(root: int, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o000)
    listing = listings(root)["locked"]
    (tmp_path / "locked").chmod(0o700)

    assert (listing.is_readable, [error.why for error in listing.errors]) == (False, ["permission denied"])


def test_a_folder_swapped_for_a_symlink_is_not_followed(root: int, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("")
    (tmp_path / "swapped").mkdir()
    found = []
    for listing in walk(root, Policy()):
        found.append(listing)
        if listing.rel_path == "":
            (tmp_path / "swapped").rmdir()
            (tmp_path / "swapped").symlink_to(outside)

    swapped = next(listing for listing in found if listing.rel_path == "swapped")
    assert (swapped.is_readable, swapped.files, swapped.errors) == (False, {}, ())
    assert [path for path, _ in swapped.moved] == ["swapped"]


def test_a_large_tree_needs_few_descriptors_and_leaves_none_open(root: int, tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}/deep").mkdir(parents=True)
    before = len(os.listdir("/dev/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before + 8, 64), hard))
    try:
        found = listings(root)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert len(found) == 201
    assert all(listing.is_readable for listing in found.values())
    assert len(os.listdir("/dev/fd")) == before


def test_a_walk_is_lazy(root: int, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    folders = walk(root, Policy())
    next(folders)
    (tmp_path / "b").rmdir()

    assert [listing.is_readable for listing in folders] == [True, False]


def test_the_clock_is_read_after_the_folder(root: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (listing,) = walk(root, Policy(), clock_ns=lambda: 77)

    assert listing.seen_at_ns == 77
    assert listing.mtime_ns == tmp_path.stat().st_mtime_ns


def test_src_dir_may_be_a_symlink_and_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("folder")
    os.close(open_root(str(tmp_path / "link")))

    for name, why in (("file", "not a directory"), ("gone", "no such file or directory")):
        with pytest.raises(ConfigurationProblem, match=why):
            open_root(str(tmp_path / name))


def test_a_looker_sees_what_the_scan_sees(root: int, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_text("12")
    (tmp_path / "a/link").symlink_to("file")
    (tmp_path / "a/folder").mkdir()
    os.mkfifo(tmp_path / "a/pipe")
    status = (tmp_path / "a/file").stat()
    seen = (status.st_mtime_ns, 2), status.st_ctime_ns - status.st_mtime_ns

    for follow_links in (False, True):
        look = PathReader(root, follow_links=follow_links)
        assert look("a", "file") == seen
        assert look("a", "link") == (seen if follow_links else None)
        assert look("a", "folder") is look("a", "pipe") is look("a", "gone") is look("gone", "x") is None
        assert look("a", FOLDER_ITSELF) == (EMPTY_FOLDER, 0)
        assert look("gone", FOLDER_ITSELF) is None
        look.close()


def test_opening_a_folder_never_follows_a_link_at_its_end(root: int, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")

    os.close(open_folder(root, "folder"))
    with pytest.raises(OSError) as problem:
        open_folder(root, "link")
    assert problem.value.errno in (errno.ELOOP, errno.ENOTDIR)


def test_a_missing_disk_is_an_error_of_the_folder_above_whatever_takes_its_place(root: int, tmp_path: Path) -> None:
    (tmp_path / "beside").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "deep/gone").mkdir(parents=True)
    missing = {"": {"folder": "no disk", "file": "no disk", "absent": "no disk"}, "deep": {"gone": "no disk"}}

    top, deep = walk(root, Policy(missing=missing))

    assert (set(top.files), top.folders, top.is_plain) == ({"beside"}, ["deep"], False)
    assert top.kept == {"folder", "file", "absent"}
    assert set(top.errors) == {PathError(name, "no disk") for name in top.kept}
    assert (deep.rel_path, list(deep.files), set(deep.kept)) == ("deep", [], {"gone"})
    policy = Policy(missing=missing)
    assert [policy.why_missing(path) for path in ("folder", "folder/a/b", "deep/gone/a")] == ["no disk"] * 3
    assert [policy.why_missing(path) for path in ("", "beside", "deep", "folder2")] == [""] * 4


def test_a_disk_that_goes_away_during_the_scan_leaves_an_unreadable_folder(root: int, tmp_path: Path) -> None:
    (tmp_path / "disk/folder").mkdir(parents=True)
    (tmp_path / "disk/file").write_text("")

    _, disk = walk(root, Policy(mounts=frozenset({"disk"})))

    assert (disk.is_readable, disk.files, disk.folders) == (False, {}, [])
    assert [error.rel_path for error in disk.errors] == ["disk"]


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="/proc is not mounted")
def test_a_mount_point_differs_from_the_folders_below_it() -> None:
    above = os.open("/", os.O_RDONLY)
    found = [read_names(above, path, ["stat"], follow_links=False).is_mount for path in ("", "proc", "proc/self")]
    os.close(above)

    assert found == [False, True, False]
