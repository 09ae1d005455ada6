"""Targets that read what a person writes: times, intervals, items files."""

from __future__ import annotations

from hypothesis import strategies as st

from autotransfer.common.errors import UsageProblem
from autotransfer.common.times import (
    MINUTE,
    NS_PER_SECOND,
    YEAR,
    interval_seconds,
    iso_text,
    local_text,
    parse_date_ns,
    parse_moment_ns,
    utc_text,
)
from autotransfer.timers.items_file import read_items
from prove.mutations import SOME_TEXT

NOW_NS = 1_800_000_000 * NS_PER_SECOND
DATE = st.from_regex(
    r"\d{4}-[01]\d-[0-3]\d([T ][0-2]\d:[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|z|[+-]\d\d:?\d\d)?)?", fullmatch=True
)
AGE = st.from_regex(r"(\d{1,30}[smhdwy]){1,4}", fullmatch=True)
EXAMPLES = [
    "2026-03-01",
    "2026-03-01T06:00+01:00",
    "0001-01-01",
    "9999-12-31T23:59:59Z",
    "now",
    "never",
    "36h",
    "1d12h",
]
EXAMPLES += ["9" * 5000 + "h", "٣d", "1970-01-01T00:00-14:00", "2026-W01-1", "20260301"]
INTERVALS = ["90m", "1h30m", "1 week", "3600", "7d", "1 hour 30 minutes", "0", "1" * 5000 + "s", "٣d", "1h1h"]
LINES = ["/a/, /b/, true", '"/a,b", /c, false', "# no", "", "/a,/b", '"/a, /b, true', "/a, /b, maybe", "\ufeff/a,/b,1"]
UNITS = ["s", "sec", "m", "min", "minutes", "h", "hrs", "d", "w", "weeks", " ", "y"]


def _written(examples: list[str], *strategies: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Examples, such text, or examples with something put in."""
    picked = st.sampled_from(examples)
    mixed = st.builds(lambda text, at, new: text[:at] + new + text[at:], picked, st.integers(0, 12), SOME_TEXT)
    return st.one_of(picked, mixed, SOME_TEXT, *strategies)


def moments(data: st.DataObject) -> None:
    """Times of set_time.py: a moment that can be shown, not in the future, or a problem."""
    text = data.draw(_written(EXAMPLES, DATE, AGE))
    try:
        moment_ns = parse_moment_ns(text, now_ns=NOW_NS)
    except UsageProblem as problem:
        assert str(problem)
        return
    assert moment_ns <= NOW_NS
    local_text(moment_ns)
    assert parse_moment_ns(utc_text(moment_ns), now_ns=NOW_NS) == moment_ns // NS_PER_SECOND * NS_PER_SECOND


def dates(data: st.DataObject) -> None:
    """Starts and ends of timer.py: a moment that can be sent, or a problem."""
    text = data.draw(_written(EXAMPLES, DATE))
    try:
        moment_ns = parse_date_ns(text)
    except UsageProblem as problem:
        assert str(problem)
        return
    assert parse_date_ns(iso_text(moment_ns)) == moment_ns // NS_PER_SECOND * NS_PER_SECOND


def intervals(data: st.DataObject) -> None:
    """Intervals of timer.py: from a minute to a year, or a problem."""
    parts = st.lists(st.tuples(st.integers(0, 10**10), st.sampled_from(UNITS)), max_size=4)
    text = data.draw(_written(INTERVALS, parts.map(lambda pairs: "".join(f"{count}{unit}" for count, unit in pairs))))
    try:
        seconds = interval_seconds(text)
    except UsageProblem as problem:
        assert str(problem)
        return
    assert MINUTE <= seconds <= YEAR


def items(data: st.DataObject) -> None:
    """Items files of timer.py: items with two paths, or a problem."""
    lines = data.draw(st.lists(_written(LINES, st.text(max_size=200)), max_size=6))
    try:
        found = read_items(lines, name="items.csv")
    except UsageProblem as problem:
        assert "items.csv" in str(problem)
        return
    assert found
    assert all(item.source_path and item.destination_path for item in found)
