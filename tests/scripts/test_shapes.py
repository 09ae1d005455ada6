"""Trees of odd shapes, end to end: real bytes at the destination, nothing sent twice, nothing opened, safe to look at.

`python -m prove shapes` does the same with a tree 1,000 levels deep and a folder of 200,000 files.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

import pytest
from shapes import (
    NAMES,
    TERABYTE,
    Compared,
    deliver,
    dig,
    make_sparse,
    make_special,
    opens_in,
    pieces,
    remove,
    rewrite_deepest,
)
from suite import Route

from emulator.http.server import Emulator

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux says who opens a file (inotify), takes long paths")
LEVEL = "a_level_of_a_deep_tree"
# What moves a cursor, starts a line, colors, hides or turns text around.
# U+200C and U+200D join letters or keep them apart: names in Persian and Indic scripts need them.
UNSAFE = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


@pytest.fixture
def deep(route: Route) -> Iterator[Route]:
    """A route whose trees are removed by what can remove deep ones."""
    yield route
    remove(route.src)
    remove(route.dst)


@on_linux
def test_a_tree_deeper_than_any_path_may_be_long_arrives(deep: Route) -> None:
    levels = 250
    dig(deep.src, LEVEL, levels)
    assert levels * len(LEVEL) > os.pathconf("/", "PC_PATH_MAX")

    deliver(deep, files=levels, new=levels, submitted=1, items=1, errors=0)

    compared = Compared(deep.src, deep.dst)
    assert (compared.files, compared.folders, compared.differing) == (levels, levels + 1, [])

    rewrite_deepest(deep.src, LEVEL, b"changed at the very bottom")
    deliver(deep, modified=1, new=0, submitted=1, items=1)
    assert Compared(deep.src, deep.dst).differing == []


@on_linux
def test_what_is_not_a_file_at_the_bottom_of_a_deep_tree_keeps_nothing_from_arriving(deep: Route) -> None:
    dig(deep.src, LEVEL, 200)
    (deep.src / LEVEL / "pipe").parent.mkdir(exist_ok=True)
    os.mkfifo(deep.src / LEVEL / "pipe")

    deliver(deep, new=200, special_files=1)

    (deep.src / LEVEL / "pipe").unlink()
    assert Compared(deep.src, deep.dst).differing == []


def test_a_folder_of_five_thousand_files_arrives(route: Route) -> None:
    for number in range(5000):
        route.write(f"wide/{number:05d}.dat", str(number))

    deliver(route, files=5000, new=5000, items=1)

    (route.src / "wide/02500.dat").write_text("changed")
    changed = route.deliver()
    assert (changed["modified"], changed["items"]) == (1, 1)
    compared = Compared(route.src, route.dst)
    assert (compared.files, compared.differing) == (5000, [])


@pytest.mark.parametrize("is_absolute", [True, False])
def test_every_name_arrives_as_it_is_and_can_be_sent_again_by_name(route: Route, is_absolute: bool) -> None:
    for name in NAMES:
        route.write(f"files/{name}", f"content of {name!r}")
        route.write(f"folders/{name}/{name}", f"below {name!r}")
    route.write("files/another")

    deliver(route, new=2 * len(NAMES) + 1, errors=0)

    compared = Compared(route.src, route.dst)
    assert (compared.files, compared.differing) == (2 * len(NAMES) + 1, [])
    top = f"{route.src}/" if is_absolute else ""
    told = route.run("set_time.py", "never", *(f"--path={top}files/{name}" for name in NAMES))
    assert f" {len(NAMES):,} will be sent by the next run" in told.stdout
    assert UNSAFE.findall(told.stdout) == []
    sent = len(route.sent())
    route.deliver()
    again = set().union(*(route.sent_paths(document) for document in route.sent()[sent:]))
    assert again == {f"files/{name}" for name in NAMES}


def test_twins_stay_apart(route: Route) -> None:
    twins = {
        "r\u00e9": "composed",
        "re\u0301": "decomposed",
        "Case": "upper",
        "case": "lower",
        "x": "bare",
        "x ": "blank",
    }
    for name, content in twins.items():
        route.write(name, content)
    if len(list(route.src.iterdir())) < len(twins):
        pytest.skip("this file system holds some of the twins for one name")

    deliver(route, new=len(twins))

    assert {path.name: path.read_text() for path in route.dst.iterdir()} == twins
    (route.src / "case").write_text("lower, changed")
    deliver(route, modified=1)
    assert (route.dst / "Case").read_text() == "upper"
    assert (route.dst / "case").read_text() == "lower, changed"


def test_no_name_reaches_a_terminal_or_the_log_as_more_than_text(route: Route, globus: Emulator) -> None:
    for name in NAMES:
        route.write(f"{name}/{name}")
    bad = os.fsencode(route.src) + b"/not UTF-8 \xff\x1b[2J\n2026-01-01T00:00:00Z 1 INFO forged"
    with open(bad, "wb"):
        pass
    for name in NAMES[:50]:  # faults that name the path, as Globus words them
        globus.world.add_outcome("skip", path=f"*/{name}/{name}", code="PERMISSION_DENIED")

    shown = [
        route.run(*words, status=None)
        for words in (
            ("main.py", "-n"),
            ("main.py", "-v", "--wait", "100"),
            ("main.py", "-v", "--wait", "100"),
            ("set_time.py", "never", *(f"--path={route.src}/{name}" for name in NAMES)),
            ("set_time.py", "never", "--path=/nowhere/a\x1b[2J\nb"),
            ("main.py", "--json"),
        )
    ]

    for result in shown:
        assert UNSAFE.findall(result.stdout + result.stderr) == []
    log = (route.code_path / "log").read_text()
    assert UNSAFE.findall(log) == []
    line = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \d+ (DEBUG|INFO|WARNING|ERROR) \S")
    assert [words for words in log.splitlines() if not line.match(words) and not words.startswith(" ")] == []
    assert not any(words.startswith("2026-01-01T00:00:00Z") for words in log.splitlines())


@on_linux
def test_a_sparse_file_of_a_terabyte_is_sent_without_being_read(route: Route) -> None:
    # Globus reads the file by another name of it, so that whoever opens it in SRC_DIR is this tool.
    folder, view = route.src / "data", route.folder / "view/data"
    folder.mkdir()
    view.mkdir(parents=True)
    route.configure(SRC_PATH=str(view.parent))
    with opens_in(folder) as opens, opens_in(view) as opens_by_globus:
        make_sparse(folder / "image.raw", TERABYTE)
        os.link(folder / "image.raw", view / "image.raw")
        opens.names()

        deliver(route, new=1, submitted=1, bytes=TERABYTE, delivered=1)

        assert opens.names() == set()
        assert opens_by_globus.names() == {"image.raw"}
    assert (route.dst / "data/image.raw").stat().st_size == TERABYTE
    assert pieces(route.dst / "data/image.raw") == [(0, b"data"), (TERABYTE // 2, b"data"), (TERABYTE - 4, b"data")]


@on_linux
@pytest.mark.parametrize("policy", ["ignore", "follow"])
def test_pipes_sockets_and_devices_are_counted_and_never_opened(route: Route, policy: str) -> None:
    route.configure(SYMLINKS=policy)
    folder = route.src / "data"
    route.write("data/file")
    with opens_in(folder) as opens:
        special = make_special(folder)
        for name in special:
            (folder / f"link to {name}").symlink_to(name)
        opens.names()

        deliver(route, special_files=len(special), links=len(special), new=1, errors=0)
        route.run("set_time.py", "never")
        route.deliver()

        assert opens.names() <= {"file"}
    assert {path.name for path in (route.dst / "data").iterdir()} == {"file"}


def test_hard_links_arrive_as_files_of_their_own(route: Route) -> None:
    original = route.write("original", "first")
    (route.src / "folder").mkdir()
    for number in range(20):
        os.link(original, route.src / f"folder/{number}")

    deliver(route, new=21)

    original.write_text("changed through one of its names")
    deliver(route, modified=21)
    assert Compared(route.src, route.dst).differing == []


@pytest.mark.parametrize("policy", ["ignore", "follow"])
def test_chains_and_loops_of_links_end(route: Route, policy: str) -> None:
    route.configure(SYMLINKS=policy)
    route.write("real/file", "content")
    chain = route.src / "chain"
    chain.mkdir()
    (chain / "0").symlink_to("../real/file")
    for number in range(1, 90):
        (chain / str(number)).symlink_to(str(number - 1))
    for name, target in {"itself": "itself", "a": "b", "b": "a", "nowhere": "/nowhere"}.items():
        (chain / name).symlink_to(target)
    for name, target in {"up": "..", "here": ".", "root": "/", "there": "../real"}.items():
        (chain / name).symlink_to(target)
    entries = [chain / name for name in os.listdir(chain)]
    to_files = [path.name for path in entries if os.path.isfile(path)]
    to_folders = [path.name for path in entries if os.path.isdir(path)]
    broken = len(entries) - len(to_files) - len(to_folders)
    assert min(len(to_files), len(to_folders), broken) > 3

    is_followed = policy == "follow"
    first = route.summary("--wait", "60", status=3 if is_followed else 0)

    found = (first["new"], first["links"], first["errors"])
    assert found == ((1 + len(to_files), len(to_folders), broken) if is_followed else (2, len(entries), 0))
    arrived = {str(path.relative_to(route.dst)) for path in route.dst.rglob("*") if path.is_file()}
    assert arrived == {"real/file", *(f"chain/{name}" for name in to_files if is_followed)}
    assert {path.read_text() for path in route.dst.rglob("*") if path.is_file()} == {"content"}
    assert all("cannot be followed" in notice for notice in first["notices"])
    assert route.summary(status=None)["submitted"] == 0


def test_a_link_that_is_no_longer_followed_is_not_called_gone(route: Route) -> None:
    route.configure(SYMLINKS="follow")
    route.write("file")
    (route.src / "link").symlink_to("file")
    route.deliver_here()
    route.configure(SYMLINKS="ignore")

    said = route.run("main.py", "-v").stdout

    assert "1 gone from disk or now a symlink. 1 symlink skipped." in said


def test_a_name_that_globus_takes_for_another_one_is_reported_and_never_counts_as_delivered(route: Route) -> None:
    """U+FFFD in front marks the bytes of a name that is not UTF-8, so what has such a name itself is out of reach."""
    route.write("data/x", "the other file")
    route.deliver()
    route.write("data/\ufffdx", "a file that begins with a replacement character")
    route.write("\ufffdfolder/inside")

    summary = route.summary("--wait", "60", status=3)

    assert (summary["errors"], summary["submitted"]) == (2, 0)
    assert sorted(summary["notices"]) == [
        f"Skipped {route.src}/data/\ufffdx: Globus takes a name that begins with U+FFFD for other bytes; rename it.",
        f"Skipped {route.src}/\ufffdfolder: Globus takes a name that begins with U+FFFD for other bytes; rename it.",
    ]
    told = route.run("set_time.py", "never", f"--path={route.src}/\ufffdfolder/inside", status=2)
    assert "Globus cannot carry" in told.stderr
