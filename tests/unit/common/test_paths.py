"""Names and paths: what a person typed, what Globus can carry, what a message shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotransfer.common.paths import (
    FOLDER_ITSELF,
    below,
    can_be_sent,
    display,
    from_collection,
    is_within,
    join,
    on_collection,
    shell_word,
    split,
)

names = st.text(st.characters(blacklist_characters="/\0"), min_size=1, max_size=9).filter(
    lambda name: name not in (".", "..")
)
rel_paths = st.lists(names, min_size=1, max_size=4).map("/".join)
roots = st.sampled_from(["/", "/data", "/data/", "/data/run 7", "/~", "/~/a"])


@given(roots, rel_paths, st.booleans())
def test_a_path_goes_to_a_collection_and_comes_back(root: str, rel_path: str, is_folder: bool) -> None:
    there = on_collection(root, rel_path, is_folder=is_folder)

    assert there.endswith("/") is is_folder
    assert "//" not in there
    assert from_collection(root, there) == rel_path


def test_the_root_itself_comes_back_empty_and_neighbours_not_at_all() -> None:
    assert on_collection("/data", "", is_folder=True) == "/data/"
    assert on_collection("/", "a", is_folder=False) == "/a"
    assert from_collection("/data", "/data") == from_collection("/data", "/data/") == ""
    assert from_collection("/data", "/data2/a") is None
    assert from_collection("/data", "/dat") is None
    assert from_collection("/", "/a/b") == "a/b"


@given(rel_paths)
def test_join_and_split_are_each_others_inverse(rel_path: str) -> None:
    assert join(*split(rel_path)) == rel_path
    assert join(rel_path, FOLDER_ITSELF) == rel_path


def test_within_goes_by_components() -> None:
    assert is_within("a/b", "a") and is_within("a", "a") and is_within("a", "")
    assert not is_within("ab", "a")
    assert not is_within("a", "a/b")


@pytest.mark.parametrize(
    ("name", "can"),
    [
        ("plain", True),
        ("\u00fcber\U0001f600", True),
        ("new\nline", True),
        ("\r", True),
        ("\n\r", True),
        ("a\r\nb", False),
        ("\u00fc\r\n", False),
        (os.fsdecode(b"\xff.txt"), False),
    ],
)
def test_globus_carries_every_name_but_these(name: str, can: bool) -> None:
    assert can_be_sent(name) is can


@given(st.text() | st.binary().map(os.fsdecode))
def test_what_is_shown_is_one_printable_line(path: str) -> None:
    shown = display(path)

    assert shown.isprintable()
    assert shown.encode("utf-8").decode("utf-8") == shown
    if path.isprintable():
        assert shown == path


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A tree beside one whose name begins the same, reached also through a symlink."""
    (tmp_path / "data/run/deep").mkdir(parents=True)
    (tmp_path / "data2").mkdir()
    (tmp_path / "data/file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "data/inside").symlink_to(tmp_path / "data/run")
    (tmp_path / "data/outside").symlink_to(tmp_path / "data2")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("typed", "rel_path"),
    [
        ("{src}", ""),
        ("{src}/", ""),
        ("{src}/.", ""),
        ("{src}/run", "run"),
        ("{src}/run/", "run"),
        ("{src}//run//deep", "run/deep"),
        ("{src}/run/..", ""),
        ("{src}/run/../file", "file"),
        ("{src}/run/deep/../..", ""),
        ("{src}/not there", "not there"),
        ("{src}/run/not there", "run/not there"),
        ("{src}/../link/file", "file"),
        ("{src}/../link", ""),
        ("{src}/inside", "inside"),
        ("{src}/inside/deep", "run/deep"),
        ("{src}/outside", "outside"),
        ("{src}/outside/x", None),
        ("{src}/..", None),
        ("{src}/../data2", None),
        ("{src}2", None),
        ("{src}/../data2/../data/file", "file"),
        ("/", None),
        ("/etc", None),
    ],
)
def test_what_a_person_typed_is_found_only_inside_src_dir(src: Path, typed: str, rel_path: str | None) -> None:
    assert below(str(src), typed.format(src=src), cwd="/") == rel_path
    assert below(f"{src.parent}/link", typed.format(src=src), cwd="/") == rel_path


@pytest.mark.parametrize(
    ("typed", "rel_path"), [("deep", "run/deep"), (".", "run"), ("..", ""), ("../file", "file"), ("../..", None)]
)
def test_a_relative_path_counts_from_where_the_person_is(src: Path, typed: str, rel_path: str | None) -> None:
    assert below(str(src), typed, cwd=f"{src}/run") == rel_path


def test_everything_is_below_the_root_of_the_disk() -> None:
    assert below("/", "/etc", cwd="/") == "etc"
    assert below("/", "/etc/hostname", cwd="/") == "etc/hostname"
    assert below("/", "/", cwd="/etc") == ""


@given(st.text())
def test_a_path_in_a_command_is_printable(path: str) -> None:
    assert shell_word(path).isprintable()
