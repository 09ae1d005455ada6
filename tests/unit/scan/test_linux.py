"""What statx tells of the entries of a folder is what os.stat tells."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from recorded import recorded

from autotransfer.scan import linux
from autotransfer.scan.folders import walk
from autotransfer.scan.linux import Entries, Statuses, entries
from autotransfer.scan.listing import Policy, Unchanged
from autotransfer.scan.worker import FolderScanner

pytestmark = pytest.mark.skipif(not Entries().are_possible, reason="this system has no statx")
MOMENTS_NS = (0, 1, 999_999_999, 1_800_000_000_123_456_789, 15 * 10**18 // 2, 2**33 * 10**9 - 1)


@pytest.fixture
def folder_fd(tmp_path: Path) -> Iterator[int]:
    folder_fd = os.open(tmp_path, os.O_RDONLY)
    yield folder_fd
    os.close(folder_fd)


def expected(folder_fd: int, names: list[str]) -> Statuses:
    """What os.stat says."""
    found = [os.stat(name, dir_fd=folder_fd, follow_symlinks=False) for name in names]
    columns = [each.st_size for each in found], [each.st_mtime_ns for each in found]
    sizes_bytes, mtimes_ns = (struct.pack(f"<{len(names)}q", *column) for column in columns)
    return Statuses([each.st_mode for each in found], sizes_bytes, mtimes_ns, b"")


def test_every_kind_of_entry_is_as_stat_reports_it(tmp_path: Path, folder_fd: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    for number, moment_ns in enumerate(MOMENTS_NS):
        path = tmp_path / f"moment {number}"
        path.touch(mode=0o600 + number)
        os.utime(path, ns=(moment_ns, moment_ns))
    for name in (b"not \xff UTF-8", b"line\nbreak", "é".encode(), b"x" * 255, b" ", b"-n"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(name)
    names = os.listdir(folder_fd)

    assert len(names) == 17
    assert Entries().read(folder_fd, names) == expected(folder_fd, names)
    assert Entries(is_alone=True).read(folder_fd, names) == expected(folder_fd, names)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 300])
def test_a_folder_of_any_size_is_reported_whole_and_in_order(tmp_path: Path, folder_fd: int, count: int) -> None:
    chance = random.Random(count)
    for number in range(count):
        path = tmp_path / f"{number:03}"
        path.write_bytes(b"x" * chance.randrange(1000))
        os.utime(path, ns=(0, chance.randrange(2 * 10**18)))
    names = os.listdir(folder_fd)
    chance.shuffle(names)

    assert Entries().read(folder_fd, names) == expected(folder_fd, names)


@pytest.mark.parametrize("moment_ns", [-1, -(10**18) - 7, 2**33 * 10**9, 9 * 10**18])
def test_a_file_of_another_age_leaves_no_answer(tmp_path: Path, folder_fd: int, moment_ns: int) -> None:
    for name in ("a", "old", "z"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "old", ns=(moment_ns, moment_ns))

    assert os.stat(tmp_path / "old").st_mtime_ns == moment_ns
    assert Entries().read(folder_fd, ["a", "old", "z"]) is None
    assert Entries().read(folder_fd, ["a", "z"]) == expected(folder_fd, ["a", "z"])


def test_ctimes_are_reported_as_lags_behind_mtimes_of_any_sign(tmp_path: Path, folder_fd: int) -> None:
    for number, moment_ns in enumerate(MOMENTS_NS * 30):
        path = tmp_path / f"{number}"
        path.touch()
        os.utime(path, ns=(moment_ns, moment_ns))
    names = os.listdir(folder_fd)
    found = [os.stat(tmp_path / name) for name in names]
    lags_ns = [each.st_ctime_ns - each.st_mtime_ns for each in found]
    without = expected(folder_fd, names)

    statuses = Entries().read(folder_fd, names, with_ctimes=True)

    assert min(lags_ns) < 0 < max(lags_ns)
    assert statuses == without._replace(ctime_lags_ns=struct.pack(f"<{len(names)}q", *lags_ns))
    assert statuses.only([True] + [False] * (len(names) - 1)).ctime_lags_ns == struct.pack("<q", lags_ns[0])


def test_those_chosen_are_reported_as_if_they_alone_had_been_asked_for(tmp_path: Path, folder_fd: int) -> None:
    names = [f"{number}" for number in range(300)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(b"x" * number)
    statuses = Entries().read(folder_fd, names)
    assert statuses is not None

    assert statuses.only([int(name) % 3 == 0 for name in names]) == expected(folder_fd, names[::3])


def test_an_entry_that_is_gone_leaves_no_answer(tmp_path: Path, folder_fd: int) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()

    assert Entries().read(folder_fd, ["a", "gone", "b"]) is None


def test_threads_do_not_see_what_others_look_at(tmp_path: Path) -> None:
    entries, folders = Entries(), [tmp_path / f"{number}" for number in range(8)]
    for number, folder in enumerate(folders):
        folder.mkdir()
        for name in range(100):
            (folder / f"{name}").write_bytes(b"x" * number)

    def sizes(folder: Path) -> set[int]:
        folder_fd = os.open(folder, os.O_RDONLY)
        try:
            found = [entries.read(folder_fd, os.listdir(folder_fd)) for _ in range(50)]
        finally:
            os.close(folder_fd)
        return {
            size
            for statuses in found
            if statuses is not None
            for (size,) in struct.iter_unpack("<q", statuses.sizes_bytes)
        }

    with ThreadPoolExecutor(len(folders)) as pool:
        assert list(pool.map(sizes, folders)) == [{number} for number in range(len(folders))]


@pytest.fixture
def made_anew() -> Iterator[None]:
    """What a process makes once is made again in a test, and after it."""
    entries.cache_clear()
    yield
    entries.cache_clear()


def does_nothing(*arguments: object) -> int:
    return 0


def refuses(*arguments: object) -> int:
    return -1


@pytest.mark.parametrize("statx", [None, refuses, does_nothing])
@pytest.mark.parametrize("exclude", [(), ("*.tmp", "left out")])
def test_a_folder_as_recorded_is_reported_alike_where_statx_is_missing_refused_or_a_sham(
    tmp_path: Path,
    folder_fd: int,
    exclude: tuple[str, ...],
    statx: Callable[..., int] | None,
    made_anew: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("files", "files/below", "files/left out", "only folders/one", "links"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("one", "files/a", "files/b.tmp", "files/é", "files/below/c", "links/d"):
        (tmp_path / name).write_text(name)
    (tmp_path / "links/to d").symlink_to("d")
    os.mkfifo(tmp_path / "links/pipe")
    policy = Policy(exclude=exclude)
    records = {listing.rel_path: recorded(listing) for listing in walk(folder_fd, policy)}

    def told() -> list[object]:
        look = FolderScanner(folder_fd, policy)
        return [look(rel_path, record) for rel_path, record in records.items()]

    with_it = told()
    entries.cache_clear()
    monkeypatch.setattr(linux, "_statx", lambda is_alone: statx)
    assert not entries().are_possible
    assert told() == with_it
    assert {type(result) for result in with_it} == {Unchanged}


def test_a_birth_time_stays_with_a_folder_and_differs_from_that_of_its_copy(tmp_path: Path) -> None:
    def born(name: str) -> int:
        folder_fd = os.open(tmp_path / name, os.O_RDONLY)
        try:
            return entries().born_ns(folder_fd)
        finally:
            os.close(folder_fd)

    (tmp_path / "first").mkdir()
    first_ns = born("first")
    if not first_ns:
        pytest.skip("this file system keeps no birth times")
    (tmp_path / "second").mkdir()
    while born("second") == first_ns:  # until the kernel's clock has moved on
        (tmp_path / "second").rmdir()
        (tmp_path / "second").mkdir()
    os.utime(tmp_path / "first", (1, 1))
    (tmp_path / "first/file").write_text("")
    (tmp_path / "first").rename(tmp_path / "renamed")

    assert born("renamed") == first_ns
    assert 0 < first_ns < born("second")


def test_a_system_without_statx_knows_no_birth_time(folder_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "_statx", lambda is_alone: None)

    assert Entries().born_ns(folder_fd) == 0 or hasattr(os.fstat(folder_fd), "st_birthtime")
