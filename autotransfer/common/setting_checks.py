"""What single settings may hold. Each check returns why a value is refused, or None."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Optional

from autotransfer.common.errors import UsageProblem
from autotransfer.common.times import interval_seconds

Check = Callable[[Any], Optional[str]]
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
PING_URL = re.compile(r"(https://[\w.-]+|http://(localhost|127\.0\.0\.1|\[::1\]))(:\d{1,5})?(/[\w.~%+-]+)+/?", re.ASCII)


def one_of(*choices: str) -> Check:
    """One of these."""

    def check(value: Any) -> str | None:
        return None if value in choices else f"must be one of {', '.join(map(repr, choices))}"

    return check


def some_of(*choices: str) -> Check:
    """A list of any of these."""

    def check(value: Any) -> str | None:
        if isinstance(value, (list, tuple)) and all(choice in choices for choice in value):
            return None
        return f"must be a list of any of {', '.join(map(repr, choices))}; [] for none"

    return check


def number(least: float, most: float) -> Check:
    """A number in this range, both ends included."""

    def check(value: Any) -> str | None:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most:
            return None
        return f"must be a number from {least:g} to {most:g}"

    return check


def whole(least: int, most: int) -> Check:
    """The same for whole numbers."""

    def check(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return None
        return f"must be a whole number from {least} to {most}"

    return check


def absolute(value: Any) -> str | None:
    """An absolute path without '..', a NUL or a CR LF, in UTF-8."""
    if not isinstance(value, str) or not value.startswith("/"):
        return "must be an absolute path, such as '/data/run7'"
    if "\0" in value or "\r\n" in value or ".." in value.split("/"):
        return "must not hold '..', a NUL or a CR LF"
    return None if _is_unicode(value) else "must be UTF-8; Globus can carry no other name"


def optional_path(value: Any) -> str | None:
    """The same, or empty."""
    return None if value == "" else absolute(value)


def uuid(value: Any) -> str | None:
    """A UUID in either case."""
    if isinstance(value, str) and UUID.fullmatch(value):
        return None
    return "must be a UUID, such as 'ddb59aef-6d04-11e5-ba46-22000b92c6ec'"


def patterns(value: Any) -> str | None:
    """A list of patterns for names, not for paths."""
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        return "must be a list of name patterns, such as ['*.tmp', 'scratch']"
    for pattern in value:
        if not isinstance(pattern, str) or not pattern or not _is_unicode(pattern):
            return f"holds {pattern!r}; each pattern must be a non-empty string"
        if "/" in pattern:
            return f"holds {pattern!r}; patterns match names, not paths, so '/' never matches"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def yes_no(value: Any) -> str | None:
    """True or False, and no other value that Python takes for one of them."""
    return None if isinstance(value, bool) else "must be True or False"


def label(value: Any) -> str | None:
    """Text that can stand at the head of a task's label."""
    if not isinstance(value, str) or value != value.strip() or len(value) > 80:
        return "must be at most 80 characters, without blanks at its ends"
    if any(mark in value for mark in "\r\n,/:") or not value.isprintable():
        return "must not hold ',', '/', ':' or control characters (tasks are found by label)"
    return None


def interval(value: Any) -> str | None:
    """A length of time, as text or in seconds."""
    try:
        interval_seconds(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    except (UsageProblem, AttributeError):
        return "must be an interval from 60s to 365d, such as '12h' or '1d'"
    return None


def executor(value: Any) -> str | None:
    """Where to scan: here, or on a cluster."""
    if value == "mpi":
        return (
            "no longer takes 'mpi'; start Dask's scheduler and workers instead (under MPI, dask-mpi does) and write "
            "'dask:ADDRESS', or write '' to scan on this machine"
        )
    if value == "" or (isinstance(value, str) and value.startswith("dask:") and value != "dask:"):
        return None
    return "must be '' or 'dask:ADDRESS', such as 'dask:tcp://10.0.0.5:8786'"


def metrics_file(value: Any) -> str | None:
    """A file that the textfile collector of node_exporter reads."""
    if value != "" and isinstance(value, str) and not value.endswith(".prom"):
        return "must end in '.prom'; the collector of node_exporter reads nothing else"
    return optional_path(value)


def ping_url(value: Any) -> str | None:
    """An https URL without a query."""
    if value == "" or (isinstance(value, str) and PING_URL.fullmatch(value)):
        return None
    return "must be an https URL without a query, such as 'https://hc-ping.com/UUID'; http is for this machine alone"


def command(value: Any) -> str | None:
    """A program with its arguments."""
    try:
        words = command_words(value)
    except ValueError as error:
        return f"cannot be split into words: {error}"
    if isinstance(value, (str, list, tuple)) and all(isinstance(word, str) and word for word in words):
        return "must not hold a NUL" if any("\0" in word for word in words) else None
    return "must be a command, such as ['/usr/bin/logger', '-t', 'transfer']; [] for none"


def command_words(value: Any) -> tuple[Any, ...]:
    """The words of a command; text is split as a shell would, but no shell is started.

    Raises:
        ValueError: A quotation in the text does not end.
    """
    if isinstance(value, str):
        import shlex  # only a command that is written as one text pays for it

        return tuple(shlex.split(value))
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def page(value: Any) -> str | None:
    """The path of a page. Each run replaces it, so the name of any other file must not be accepted by mistake."""
    if value == "" or (not absolute(value) and value.endswith((".html", ".htm")) and value.split("/")[-1] != ".html"):
        return None
    return "must be the absolute path of a page, such as '/var/www/html/run7.html'"
