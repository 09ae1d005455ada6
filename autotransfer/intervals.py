"""How often a timer runs, as a person writes it."""

from __future__ import annotations

import re

from autotransfer.errors import UsageProblem
from autotransfer.times import MINUTE, UNIT_SECONDS, YEAR

INTERVAL_PART = re.compile(
    r"(\d{1,9})\s*(weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])", re.ASCII
)
INTERVAL = re.compile(rf"(?:{INTERVAL_PART.pattern}\s*)+", re.ASCII)


def interval_seconds(text: str) -> int:
    """The seconds in an interval: a whole number of seconds, or counts with units such as 90m, 1h30m, 1 week.

    Every part must be understood, each unit comes once, and larger units come first: a former tool read "90 minutes"
    as 90 seconds and "30m 1h" as 30 minutes and a second.

    Raises:
        UsageProblem: Anything else, or not between a minute and a year.
    """
    plain = text.strip().lower()
    parts = INTERVAL_PART.findall(plain)
    if re.fullmatch(r"\d{1,9}", plain, re.ASCII):
        seconds = int(plain)
    elif parts and INTERVAL.fullmatch(plain):
        units = [UNIT_SECONDS[unit[0]] for _, unit in parts]
        if units != sorted(set(units), reverse=True):
            raise UsageProblem(f"{text!r} is not an interval", remedy="Give each unit once, the larger ones first.")
        seconds = sum(int(count) * unit for (count, _), unit in zip(parts, units))
    else:
        raise UsageProblem(
            f"{text!r} is not an interval", remedy="Give seconds, or numbers with units: 3600, 90m, 1h30m, 7d, 1 week."
        )
    if not MINUTE <= seconds <= YEAR:
        raise UsageProblem(
            f"An interval of {seconds} seconds is outside what Globus takes", remedy="Give one from 60s to 365d."
        )
    return seconds
