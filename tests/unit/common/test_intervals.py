"""How often a timer runs, as a person writes it."""

from __future__ import annotations

import pytest

from autotransfer.common.errors import UsageProblem
from autotransfer.common.times import interval_seconds
from autotransfer.timers.describe import duration


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
    assert interval_seconds(duration(seconds)) == seconds
