"""The items file of `timer.py job transfer`."""

from __future__ import annotations

import pytest

from autotransfer.common.errors import UsageProblem
from autotransfer.timers.items_file import TimerItem, read_items


def test_lines_are_items_and_comments_and_blanks_are_none() -> None:
    text = '# mine\n\n/a, /b, true\n  "/c, d",/e ,NO\n/~/f,~/g,1\n  # end\n'

    assert read_items(text.splitlines(keepends=True), name="x.csv") == [
        TimerItem("/a", "/b", True),
        TimerItem("/c, d", "/e", False),
        TimerItem("/~/f", "~/g", True),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The items file x.csv holds no item"),
        ("# only\n\n# comments\n", "The items file x.csv holds no item"),
        ("/a, /b, true\n/c, /d\n", "Line 2 of the items file x.csv is wrong: it has 2 columns, not 3"),
        ("/a, /b, true, x\n", "Line 1 of the items file x.csv is wrong: it has 4 columns, not 3"),
        ("# one\n\n/a, /b, maybe\n", "Line 3 of the items file x.csv is wrong: 'maybe' is neither true nor false"),
        ("/a, /b,\n", "Line 1 of the items file x.csv is wrong: '' is neither true nor false"),
        ("/a, , true\n", "Line 1 of the items file x.csv is wrong: a path is empty"),
        ('/a, "/b, true\n', "Line 1 of the items file x.csv is wrong: it is not CSV"),
        ("/a /b true\n", "Line 1 of the items file x.csv is wrong: it has 1 columns, not 3"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_line(text: str, words: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        read_items(text.splitlines(keepends=True), name="x.csv")

    assert str(caught.value).startswith(words)
    assert str(caught.value).endswith("Nothing was created.")
