"""Faults of the HTTP layer on demand, and the log of requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

LONGEST_HOLD_SECONDS = 600.0  # a test that forgets to release a request still ends


@dataclass(frozen=True)
class LoggedRequest:
    """One imitated request. `status` is None when the connection was dropped before an answer was made."""

    method: str
    path: str
    query: str
    status: int | None
    at: str


@dataclass
class Fault:
    """A failure of requests that match `route`, "METHOD /path-pattern" ("*" is every method).

    Attributes:
        times: How often it acts; None is always.
        skip: Matching requests to let pass first.
        status: Answer with this status instead of asking the service, with `headers` and `json` or `text`.
        reset: Drop the connection, "before" or "after" the service has done its work.
        delay_seconds: Wait before anything else.
        hold: Wait for `release` before anything else. It is in effect from the moment that `is_holding`.
        truncate: Do the work, announce the whole answer, send half of it.
    """

    route: str
    times: int | None = 1
    skip: int = 0
    status: int | None = None
    headers: Mapping[str, str] | None = None
    json: Any = None
    text: str | None = None
    content_type: str | None = None
    reset: str | None = None
    delay_seconds: float = 0.0
    hold: bool = False
    truncate: bool = False
    _reached: threading.Event = field(default_factory=threading.Event, init=False, repr=False, compare=False)
    _released: threading.Event = field(default_factory=threading.Event, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.route, str):
            raise ValueError("route is no text")
        method, _, path = self.route.partition(" ")
        if not method or not path.startswith(("/", "*")):
            raise ValueError(f"route {self.route!r} is not 'METHOD /path'")
        if self.reset not in (None, "before", "after"):
            raise ValueError("reset is before or after")
        if self.status is None and self.reset is None and not (self.delay_seconds or self.hold or self.truncate):
            raise ValueError("a fault needs status, reset, delay_seconds, hold or truncate")

    def matches(self, method: str, path: str) -> bool:
        """Whether it is about this request."""
        wanted_method, _, pattern = self.route.partition(" ")
        return wanted_method.upper() in ("*", method) and fnmatchcase(path, pattern)

    @property
    def is_holding(self) -> bool:
        """Whether a request was held and not released yet."""
        return self._reached.is_set() and not self._released.is_set()

    def wait(self) -> None:
        """Wait as long as it says; for the thread that serves the request."""
        time.sleep(self.delay_seconds)
        if self.hold:
            self._reached.set()
            self._released.wait(LONGEST_HOLD_SECONDS)

    def release(self) -> None:
        """Let the held request go on, and hold none from now on."""
        self._released.set()


class FaultRules:
    """The faults to come, first come first."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this request; it is used up by one."""
        for fault in self.faults:
            if fault.times == 0 or not fault.matches(method, path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None

    def clear(self) -> None:
        """Forget them all; requests that are held go on."""
        for fault in self.faults:
            fault.release()
        self.faults.clear()
