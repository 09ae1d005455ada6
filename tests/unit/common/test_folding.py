"""Which names some file system takes for one."""

from __future__ import annotations

import pytest

from autotransfer.common.folding import folded, twin_groups, twins_in


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("DSC1.JPG", "dsc1.jpg"),
        ("caf\u00e9", "cafe\u0301"),
        ("CAF\u00c9", "cafe\u0301"),
        ("stra\u00dfe", "STRASSE"),  # full case folding, not only letter by letter
        ("\u03a3", "\u03c2"),  # sigma, and the one at the end of a word
        ("I", "\u0131"),  # i without its dot
        ("\u212a", "k"),  # the sign for kelvin
        ("\ufb01le", "file"),  # a ligature: ZFS with normalization=formKC
        ("a\u200db", "ab"),  # ext4 with casefold ignores joiners
        ("run.", "run"),
        ("run ", "RUN"),
    ],
)
def test_names_that_are_one_somewhere_are_twins(one: str, other: str) -> None:
    assert folded(one) == folded(other)
    assert twin_groups([other, "x", one]) == [sorted([one, other])]
    assert twins_in([one, "x", other]) == {one, other}


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b"], ["a.b", "ab"], ["e", "\u00e9"], [".a", "a"], ["a b", "ab"]])
def test_other_names_are_not(names: list[str]) -> None:
    assert twin_groups(names) == []


def test_each_group_is_by_itself() -> None:
    assert twin_groups(["b", "A", "B", "a", "c"]) == [["A", "a"], ["B", "b"]]
