"""Tables and names as a terminal shows them, the same in every script."""

from __future__ import annotations

import pytest

from autotransfer.common.paths import display
from autotransfer.common.text import shortened, table, width
from autotransfer.timers import describe

PERSIAN, HINDI = "\u0645\u06cc\u200c\u0631\u0648\u062f", "\u0915\u094d\u200d\u0937"


@pytest.mark.parametrize(("separator", "between"), [("  ", "  "), (" | ", " | ")])
def test_a_table_is_aligned_whatever_the_names_hold(separator: str, between: str) -> None:
    lines = table([("Name", "X"), ("日本", "x"), ("e\u0301", "x"), (PERSIAN, "x")], separator=separator)

    assert lines == [
        f"Name {between}X",
        f"日本 {between}x",
        f"e\u0301    {between}x",
        f"{PERSIAN}{between}x",
    ]


def test_invisible_characters_take_no_column() -> None:
    assert [width(text) for text in ("日本", "e\u0301", "\uff41", "a\u200db", PERSIAN, HINDI)] == [4, 1, 2, 2, 5, 2]


@pytest.mark.parametrize("name", [PERSIAN, HINDI])
def test_a_persian_or_indic_name_looks_the_same_in_every_script(name: str) -> None:
    job = describe.read_job({"name": name})

    assert (display(name), shortened(name, 40), job.name) == (name, name, name)


def test_a_name_cannot_write_over_the_terminal() -> None:
    name = "a\nb\tc\x1b[2J\u202e\udcff日\u200c"

    assert display(name) == describe.read_job({"name": name}).name == "a\\nb\\tc\\x1b[2J\\u202e\\xff日\u200c"
