"""The time the emulator lives in, which tests can move."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

# 1970 and the year 9000: what is reckoned from the present must have a date, too.
FIRST_SECOND, LAST_SECOND = 0, 221_845_392_000


class Clock:
    """Wall-clock time plus an offset; deadlines, history and token expiry all follow it."""

    def __init__(self) -> None:
        self._offset_seconds = 0.0

    def now(self) -> datetime:
        """The emulator's present, in UTC."""
        return datetime.fromtimestamp(self.now_seconds(), timezone.utc)

    def now_seconds(self) -> float:
        """The emulator's present, in seconds since the epoch."""
        return time.time() + self._offset_seconds

    def advance(self, seconds: float) -> None:
        """Move the present by this number of seconds; a negative one moves it back.

        Raises:
            ValueError: No calendar has that moment, or what follows it.
        """
        present = self.now_seconds() + seconds
        if not FIRST_SECOND <= present < LAST_SECOND:
            raise ValueError(f"{seconds} seconds from now is before 1970 or after 9000")
        self._offset_seconds += seconds

    def set(self, moment: datetime) -> None:
        """Make `moment` the present; time runs on from there. A naive moment is UTC."""
        self._offset_seconds = as_utc(moment).timestamp() - time.time()

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """Make `moment` the present for the length of a with-statement."""
        kept = self._offset_seconds
        self.set(moment)
        try:
            yield
        finally:
            self._offset_seconds = kept


def as_utc(moment: datetime) -> datetime:
    """The same moment, aware and in UTC; a naive one is taken as UTC already."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)


def parse_time(text: str) -> datetime:
    """The moment an ISO text names, with "T" or a space between date and time, UTC unless it says otherwise.

    Raises:
        ValueError: The text is no ISO date or time.
    """
    text = text.strip()
    if text.endswith(("Z", "z")):
        text = text[:-1] + "+00:00"
    return as_utc(datetime.fromisoformat(text))


def iso(moment: datetime | None) -> str | None:
    """The form task documents carry, in whole seconds: 2022-01-26T19:18:20+00:00 (recorded)."""
    return None if moment is None else moment.replace(microsecond=0).isoformat()


def spaced_iso(moment: datetime) -> str:
    """The form file documents carry, in whole seconds: 2023-12-18 16:52:50+00:00 (recorded)."""
    return moment.replace(microsecond=0).isoformat(sep=" ")


def hours(count: float) -> timedelta:
    """A number of hours as a timedelta."""
    return timedelta(hours=count)
