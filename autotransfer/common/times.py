"""Moments and durations. A moment is an integer of nanoseconds since the epoch, UTC; text is for people only."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from autotransfer.common.errors import UsageProblem

NS_PER_SECOND = 1_000_000_000
SECOND, MINUTE, HOUR, DAY, WEEK = 1, 60, 3600, 86400, 604800
YEAR = 365 * DAY
UNIT_SECONDS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}

DURATION_PART = re.compile(
    r"(\d{1,9})\s*(weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])\s*", re.ASCII
)

EXAMPLES = "2026-03-01, 2026-03-01T06:00, 2026-03-01T06:00+01:00, 36h, 7d, now or never"


def utc_text(moment_ns: int) -> str:
    """The moment as ISO 8601 in UTC to the second, such as 2026-03-01T05:00:00Z."""
    # Not strftime: on Linux it writes the year 476 with three digits, which nobody reads back.
    return datetime.fromtimestamp(moment_ns // NS_PER_SECOND, timezone.utc).isoformat()[:-6] + "Z"


def local_text(moment_ns: int) -> str:
    """The moment in local time, with the offset from UTC: 2026-03-01 06:00:00 +0100."""
    moment = datetime.fromtimestamp(moment_ns // NS_PER_SECOND, timezone.utc).astimezone()
    return f"{moment.replace(tzinfo=None)} {moment:%z}"


def duration_seconds(text: str) -> int | None:
    """The seconds in a duration such as 36h, 1d12h or 2 weeks; None for anything else.

    Every part must be understood, each unit comes once, and larger units come first: a former tool read "90 minutes"
    as 90 seconds and "30m 1h" as 30 minutes and a second.
    """
    plain = text.strip().lower()
    parts = DURATION_PART.findall(plain)
    units = [UNIT_SECONDS[unit[0]] for _, unit in parts]
    if not parts or DURATION_PART.sub("", plain) or units != sorted(set(units), reverse=True):
        return None
    return sum(int(count) * unit for (count, _), unit in zip(parts, units))


def duration_text(seconds: int) -> str:
    """The seconds as `duration_seconds` reads them: 1h30m, 7d.

    >>> duration_text(5400), duration_text(0)
    ('1h30m', '0s')
    """
    parts = []
    for unit, length in sorted(UNIT_SECONDS.items(), key=lambda item: -item[1]):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_date_ns(text: str) -> int:
    """The moment of an ISO 8601 date or time, past or future; local time unless it has an offset or Z.

    Raises:
        UsageProblem: It is anything else.
    """
    text = text.strip()
    # Python 3.9 and 3.10 do not read the Z of their own ISO 8601 output.
    plain = text[:-1] + "+00:00" if text[-1:] in ("z", "Z") else text
    try:
        moment = datetime.fromisoformat(plain)
        aware = moment if moment.tzinfo else moment.astimezone()
        seconds = aware.replace(microsecond=0).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageProblem(
            f"{text!r} is not a time", remedy=f"Write it like one of: {EXAMPLES}. Nothing was changed."
        ) from None
    return int(seconds) * NS_PER_SECOND + moment.microsecond * 1000


def iso_text(moment_ns: int) -> str:
    """The moment as the services write it: 2026-03-01T05:00:00+00:00."""
    return datetime.fromtimestamp(moment_ns // NS_PER_SECOND, timezone.utc).isoformat()


def parse_moment_ns(text: str, *, now_ns: int) -> int:
    """The moment that a person wrote, in nanoseconds since the epoch.

    Args:
        text: ISO 8601 (local time unless it has an offset or Z), `now`, or a duration before now.
        now_ns: What the clock says.

    Raises:
        UsageProblem: Not a time, or one in the future.
    """
    text = text.strip()
    if text == "now":
        return now_ns
    if (age_seconds := duration_seconds(text)) is not None:
        moment_ns = now_ns - age_seconds * NS_PER_SECOND
        if moment_ns < 0:
            raise UsageProblem(
                f"{text} ago was before 1970", remedy="Give a later time, or never. Nothing was changed."
            )
    else:
        moment_ns = parse_date_ns(text)
    if moment_ns > now_ns:
        raise UsageProblem(
            f"{text} is in the future (it is {local_text(now_ns)} now)",
            remedy="Give a time that has passed. Nothing was changed.",
        )
    return moment_ns


def interval_seconds(text: str) -> int:
    """The seconds in an interval: a whole number of seconds, or a duration.

    Raises:
        UsageProblem: Anything else, or not between a minute and a year.
    """
    plain = text.strip()
    seconds = int(plain) if re.fullmatch(r"\d{1,9}", plain, re.ASCII) else duration_seconds(plain)
    if seconds is None:
        raise UsageProblem(
            f"{text!r} is not an interval",
            remedy="Give seconds, or numbers with units, the larger units first: 3600, 90m, 1h30m, 7d, 1 week.",
        )
    if not MINUTE <= seconds <= YEAR:
        raise UsageProblem(
            f"An interval of {seconds} seconds is outside what Globus accepts", remedy="Give one from 60s to 365d."
        )
    return seconds
