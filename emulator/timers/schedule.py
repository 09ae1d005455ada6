"""When a timer runs: once, or at start + n * interval until an end. Rules are documented in the service's OpenAPI
description where nothing else is said; the texts of refusals are assumed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from emulator.clock import iso, parse_time
from emulator.errors import InvalidTimer

SHORTEST_INTERVAL_SECONDS = 60
LONGEST_INTERVAL_SECONDS = 365 * 86_400
LATEST_START_DAYS = 365
CLOSE_TO_NOW_MINUTES = 5  # "in the future or close to the current time"; how close is assumed
Location = tuple[str, ...]


@dataclass(frozen=True)
class Schedule:
    """The ticks of a timer. `interval_seconds` is None for a single run; with both ends, the first to come counts."""

    start: datetime
    interval_seconds: int | None
    end_at: datetime | None = None
    end_runs: int | None = None

    def first_tick(self, now: datetime) -> datetime | None:
        """When a new timer runs first: at its start, or now when that has passed."""
        return self.within_end(max(self.start, now))

    def tick_after(self, moment: datetime) -> datetime | None:
        """The first tick of the grid after a moment; None when there is none, or it lies beyond the end."""
        if moment < self.start:
            return self.within_end(self.start)
        if self.interval_seconds is None:
            return None
        passed = math.floor((moment - self.start).total_seconds() / self.interval_seconds)
        return self.within_end(self.start + timedelta(seconds=(passed + 1) * self.interval_seconds))

    def within_end(self, moment: datetime) -> datetime | None:
        """The moment, unless it lies beyond the end; a tick at the very end still counts (assumed)."""
        return None if self.end_at is not None and moment > self.end_at else moment

    def is_spent(self, runs: int) -> bool:
        """Whether this number of runs is all that are due."""
        most = 1 if self.interval_seconds is None else self.end_runs
        return most is not None and runs >= most

    def document(self) -> dict[str, Any]:
        """The schedule as the second interface writes it (recorded for recurring; `condition` is documented)."""
        if self.interval_seconds is None:
            return {"type": "once", "datetime": iso(self.start)}
        document: dict[str, Any] = {
            "type": "recurring",
            "start": iso(self.start),
            "interval_seconds": self.interval_seconds,
            "end": None,
        }
        if self.end_runs is not None:
            document["end"] = {"condition": "iterations", "count": self.end_runs}
        elif self.end_at is not None:
            document["end"] = {"condition": "time", "datetime": iso(self.end_at)}
        return document

    def stop_after(self) -> dict[str, Any] | None:
        """The end as the first interface writes it: null without one, one run for `once` (both recorded)."""
        runs = 1 if self.interval_seconds is None else self.end_runs
        return None if runs is None and self.end_at is None else {"date": iso(self.end_at), "n_runs": runs}


def check_schedule(document: object, now: datetime, where: Location) -> Schedule:
    """The schedule in a timer document of the second interface.

    Raises:
        InvalidTimer: What is wrong with it.
    """
    if not isinstance(document, dict):
        raise InvalidTimer(where, "value is not a valid dict", "type_error.dict")
    kind = document.get("type")
    if kind == "once":
        return Schedule(_start(document.get("datetime"), now, (*where, "datetime")), None)
    if kind != "recurring":
        raise InvalidTimer((*where, "type"), "the type is once or recurring", "value_error")
    if "interval_seconds" not in document:
        raise InvalidTimer((*where, "interval_seconds"))
    start = _start(document.get("start"), now, (*where, "start"))
    interval_seconds = check_interval(document["interval_seconds"], (*where, "interval_seconds"))
    end_at, end_runs = _end(document.get("end"), (*where, "end"))
    if end_at is not None and end_at < start:
        raise InvalidTimer((*where, "end"), "the timer would end before it starts", "value_error")
    return Schedule(start, interval_seconds, end_at, end_runs)


def check_first_interface(body: Mapping[str, Any], now: datetime) -> Schedule:
    """The schedule in the document of a job of the first interface; a start in the past means now."""
    start = check_time(body["start"], ("body", "start"))
    if start.timestamp() < 0 or start > now + timedelta(days=LATEST_START_DAYS):
        text = "a job must start after 1970-01-01 and within one year"
        raise InvalidTimer(("body", "start"), text, "value_error")
    end_at, end_runs = stop_after(body)
    interval = body.get("interval")
    if end_runs == 1:
        if interval is not None:
            text = "the interval must be null if the job stops after exactly 1 run"
            raise InvalidTimer(("body", "interval"), text, "value_error")
        return Schedule(start, None, end_at)
    return Schedule(start, check_interval(interval, ("body", "interval")), end_at, end_runs)


def check_interval(value: object, where: Location) -> int:
    """An interval in seconds, rounded down."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTimer(where, "invalid duration format", "value_error.duration")
    if not SHORTEST_INTERVAL_SECONDS <= value <= LONGEST_INTERVAL_SECONDS:
        raise InvalidTimer(where, "the interval must be between 60 seconds and 365 days", "value_error")
    return int(value)


def check_time(value: object, where: Location) -> datetime:
    """A moment; UTC when it does not say otherwise (assumed)."""
    try:
        return parse_time(value if isinstance(value, str) else "")
    except ValueError:
        raise InvalidTimer(where, "invalid datetime format", "value_error.datetime") from None


def _start(value: object, now: datetime, where: Location) -> datetime:
    if value is None:
        return now.replace(microsecond=0)
    start = check_time(value, where)
    if start < now - timedelta(minutes=CLOSE_TO_NOW_MINUTES):
        raise InvalidTimer(where, "the time must be in the future or close to the current time", "value_error")
    if start > now + timedelta(days=LATEST_START_DAYS):
        raise InvalidTimer(where, "the time must be within one year", "value_error")
    return start


def _end(end: object, where: Location) -> tuple[datetime | None, int | None]:
    """The end of a recurring schedule; a count may be called `iterations`, as the SDK's documentation has it."""
    if end is None:
        return None, None
    if not isinstance(end, dict):
        raise InvalidTimer(where, "value is not a valid dict", "type_error.dict")
    condition = end.get("condition", "time" if "datetime" in end else "iterations")
    if condition == "time":
        if "datetime" not in end:
            raise InvalidTimer((*where, "datetime"))
        return check_time(end["datetime"], (*where, "datetime")), None
    if condition != "iterations":
        raise InvalidTimer((*where, "condition"), "the condition is time or iterations", "value_error")
    if "count" not in end and "iterations" not in end:
        raise InvalidTimer((*where, "count"))
    return None, _runs(end.get("count", end.get("iterations")), (*where, "count"))


def stop_after(body: Mapping[str, Any]) -> tuple[datetime | None, int | None]:
    """The end of a job: `stop_after`, an object or a date, and `stop_after_n`."""
    stop, runs = body.get("stop_after"), body.get("stop_after_n")
    end_at = None
    where = ("body", "stop_after")
    if isinstance(stop, dict):
        date = stop.get("date")
        end_at = None if date is None else check_time(date, (*where, "date"))
        runs = stop.get("n_runs") if runs is None else runs
    elif stop is not None:
        end_at = check_time(stop, where)
    return end_at, None if runs is None else _runs(runs, (*where, "n_runs"))


def _runs(value: object, where: Location) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidTimer(where, "ensure this value is greater than 0", "value_error.number.not_gt")
    return value
