"""Faults of the HTTP layer on demand, and the log of requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


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
    """What shall go wrong with requests that match `route`, "METHOD /path-pattern" ("*" is every method).

    Attributes:
        times: How often it acts; None is always.
        skip: Matching requests to let pass first.
        status: Answer with this status instead of asking the service, with `headers` and `json` or `text`.
        reset: Drop the connection, "before" or "after" the service has done its work.
        delay_seconds: Wait before anything else.
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
    truncate: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.route, str):
            raise ValueError("route is no text")
        method, _, path = self.route.partition(" ")
        if not method or not path.startswith(("/", "*")):
            raise ValueError(f"route {self.route!r} is not 'METHOD /path'")
        if self.reset not in (None, "before", "after"):
            raise ValueError("reset is before or after")
        if self.status is None and self.reset is None and not self.delay_seconds and not self.truncate:
            raise ValueError("a fault needs status, reset, delay_seconds or truncate")

    def matches(self, method: str, path: str) -> bool:
        """Whether it is about this request."""
        wanted_method, _, pattern = self.route.partition(" ")
        return wanted_method.upper() in ("*", method) and fnmatchcase(path, pattern)


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
