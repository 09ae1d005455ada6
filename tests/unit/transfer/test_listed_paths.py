"""Which carried path a row of Globus's lists means, however it is spelled; what fits two fits none."""

from __future__ import annotations

import unicodedata

import pytest

from autotransfer.common.paths import join
from autotransfer.transfer.listed_paths import ListedPaths

CARRIED = {"": {"top.dat", "b"}, "run 7": {"a.dat", "100%.txt", "café.tif"}, "run 7/x": {"b"}, "x": {"b"}}
FOLDERS = {"": {"run 7", "x"}, "run 7": {"x"}}
NOTHING: frozenset[str] = frozenset()
NFD = unicodedata.normalize("NFD", "café.tif")


def paths(
    src_path: str = "/data/src", carried: dict[str, set[str]] = CARRIED, there: frozenset[str] = NOTHING
) -> ListedPaths:
    """For a task that carries these files, where others are there besides."""
    return ListedPaths(
        src_path,
        names_in=lambda folder: (carried.get(folder, set()), FOLDERS.get(folder, set())),
        is_there=lambda folder, name: join(folder, name) in there,
    )


@pytest.mark.parametrize(
    ("row", "rel_path"),
    [
        ("/data/src/run 7/a.dat", "run 7/a.dat"),
        ("/data/src/run%207/a.dat", "run 7/a.dat"),
        ("/data//src/run 7///a.dat", "run 7/a.dat"),
        (f"/data/src/run 7/{NFD}", "run 7/café.tif"),
        ("/data/src/run%207/caf%C3%A9.tif", "run 7/café.tif"),
        ("/data/src/run 7/100%.txt", "run 7/100%.txt"),
        ("/data/src/run 7/100%25.txt", "run 7/100%.txt"),
        ("/mnt/guest/run 7/a.dat", "run 7/a.dat"),
        ("/data/src/run 7/other.dat", None),
        ("/data/src/run 7", None),
        ("/data/src/", None),
        ("/", None),
        ("", None),
    ],
)
def test_a_row_means_the_path_that_is_alike(row: str, rel_path: str | None) -> None:
    assert paths().find(row) == rel_path


def test_a_home_directory_may_be_written_out() -> None:
    found = paths("/~/src")

    assert found.find("/home/alice/src/run 7/a.dat") == "run 7/a.dat"
    assert found.find("/home/alice/src/top.dat") == "top.dat"
    assert found.find("/home/bob/src/top.dat") is None


def test_below_an_unknown_root_what_fits_two_paths_fits_none_until_the_root_is_known() -> None:
    found = paths()

    assert found.find("/mnt/x/b") is None  # b, or x/b
    assert found.find("/mnt/x/run 7/a.dat") == "run 7/a.dat"
    assert found.find("/mnt/x/b") == "b"
    assert found.find("/mnt/x/x/b") == "x/b"


def test_two_names_of_one_spelling_are_distinguished_only_by_their_own() -> None:
    both = {"": {unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")}}
    found = paths(carried=both)

    for name in both[""]:
        assert found.find(f"/data/src/{name}") == name
    assert found.find("/data/src/e%CC%81") == unicodedata.normalize("NFD", "é")


@pytest.mark.parametrize("row", ["a%20b", "e\u0301"])
def test_a_row_that_spells_a_file_that_is_there_never_means_another_that_is_alike(row: str) -> None:
    """It was credited before, is newer than the task, or appeared in its folder."""
    carried = {"": {"a b", "\u00e9"}}

    assert paths(carried=carried, there=frozenset([row])).find(f"/data/src/{row}") is None
    assert paths(carried=carried).find(f"/data/src/{row}") in carried[""]


def test_a_name_alone_tells_no_other_root() -> None:
    found = paths(carried={"": {"f.tif"}})

    assert found.find("/mnt/run7/f.tif") is None
    assert paths("/~/src", carried={"": {"f.tif"}}).find("/home/alice/src/f.tif") == "f.tif"


def test_a_folder_is_meant_only_where_it_may_be() -> None:
    assert paths().find("/data/src/run 7/x/", may_be_folder=True) == "run 7/x"
    assert paths().find("/data/src/run 7/x/") is None
