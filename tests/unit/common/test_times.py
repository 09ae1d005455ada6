"""Moments and ages as a person writes them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from autotransfer.common.errors import UsageProblem
from autotransfer.common.times import (
    duration_seconds,
    duration_text,
    interval_seconds,
    local_text,
    parse_date_ns,
    parse_moment_ns,
    utc_text,
)

NS = 10**9
NOW_NS = 1_800_000_000 * NS + 123  # 2027-01-15T08:00:00Z


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is one with summer time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-01", "2026-02-28T23:00:00Z"),
        ("2026-03-01T06:00", "2026-03-01T05:00:00Z"),
        ("2026-03-01 06:00:30", "2026-03-01T05:00:30Z"),
        ("2026-07-01T06:00", "2026-07-01T04:00:00Z"),
        ("2026-03-01T06:00+05:30", "2026-03-01T00:30:00Z"),
        ("2026-03-01T06:00Z", "2026-03-01T06:00:00Z"),
        ("2026-03-01T06:00:00z", "2026-03-01T06:00:00Z"),
        ("  2026-03-01T06:00Z ", "2026-03-01T06:00:00Z"),
        ("2026-10-25T02:30", "2026-10-25T00:30:00Z"),  # there twice when it ends: the first
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
    ],
)
def test_a_time_is_local_unless_it_says_otherwise(text: str, utc: str) -> None:
    assert utc_text(parse_moment_ns(text, now_ns=NOW_NS)) == utc


def test_an_hour_that_summer_time_leaves_out_is_taken_for_one_beside_it() -> None:
    moment = utc_text(parse_moment_ns("2026-03-29T02:30", now_ns=NOW_NS))

    assert moment in ("2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z")


def test_fractions_of_a_second_are_kept_to_the_microsecond() -> None:
    assert parse_moment_ns("2026-03-01T06:00:00.123456Z", now_ns=NOW_NS) % NS == 123_456_000
    assert parse_moment_ns("1969-12-31T23:59:59.500000Z", now_ns=NOW_NS) == -NS // 2


def test_now_is_now_to_the_nanosecond() -> None:
    assert parse_moment_ns("now", now_ns=NOW_NS) == NOW_NS


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("36h", 129600),
        ("7d", 604800),
        ("2w", 1209600),
        ("1d12h", 129600),
        ("7 days", 604800),
    ],
)
def test_an_age_counts_back_from_now(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds
    assert parse_moment_ns(text, now_ns=NOW_NS) == NOW_NS - seconds * NS


@pytest.mark.parametrize("text", ["2027-01-15T08:00:01Z", "2027-01-15T09:00:01", "2900-01-01", "2027-01-16"])
def test_a_time_in_the_future_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem, match="is in the future"):
        parse_moment_ns(text, now_ns=NOW_NS)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "Z", "yesterday", "never", "7", "12h 1d", "-7d", "7y", "1.5h", "nan", "\0"),
        *("2026-13-01", "2026-02-30", "1/2/2026", "0000-01-01"),
        *("2026-03-01T25:00", "2026-03-01T06:00+99:00"),
    ],
)
def test_nonsense_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageProblem):
        parse_moment_ns(text, now_ns=NOW_NS)


@pytest.mark.parametrize(
    "text", ["7", "d", "7dd", "7d,", "-7d", "", "1h30", "1h1d", "1.5h", "9" * 5000 + "h", "\u0663d"]
)
def test_what_is_no_duration_is_none(text: str) -> None:
    assert duration_seconds(text) is None


def test_local_text_names_its_offset() -> None:
    assert local_text(NOW_NS) == "2027-01-15 09:00:00 +0100"
    assert local_text(NOW_NS + 180 * 86400 * NS).endswith("+0200")


def test_a_year_of_few_digits_is_written_so_that_it_can_be_read_back() -> None:
    moment_ns = parse_date_ns("0476-09-04T12:00:00Z")

    assert utc_text(moment_ns) == "0476-09-04T12:00:00Z"
    assert local_text(moment_ns).startswith("0476-09-04 ")


# ---- intervals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("60", 60), ("3600", 3600), (" 90m ", 5400), ("1h30m", 5400), ("7d", 604800), ("1 week", 604800)),
        *(("90 minutes", 5400), ("2 Hours", 7200), ("1w 2d 3h 4m 5s", 788645), ("1day", 86400), ("120 secs", 120)),
        *(("365d", 31536000), ("61s", 61)),
    ],
)
def test_seconds_and_counts_with_units_are_understood(text: str, seconds: int) -> None:
    assert interval_seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("1month", "30m 1h", "1h foo", "", "0", "59", "59s", "0m", "-60", "1.5h", "1h1h", "366d", "٦٠", "60²", "1e3"),
        *("60 x", "h", "1 h m", "1hour2", "1m1m", "5 fortnights", "9" * 5000, "1:30", "PT1H", "1h,30m", "1w" * 1000),
    ],
)
def test_what_is_only_half_understood_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem):
        interval_seconds(text)


@pytest.mark.parametrize("seconds", [60, 61, 3599, 3600, 5400, 86400, 788645, 31536000])
def test_an_interval_is_shown_as_it_can_be_given(seconds: int) -> None:
    assert interval_seconds(duration_text(seconds)) == seconds
