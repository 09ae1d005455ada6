"""Traces of the datastore beside it, in the log and in alerts.json: by them a lost or restored one is noticed.

Whoever commits counts that once in the datastore, and then leaves the count, its mark, in both files. No clock decides.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from autotransfer.common.errors import ConfigurationProblem, UsageProblem
from autotransfer.common.files import open_own
from autotransfer.common.settings import Settings
from autotransfer.common.times import NS_PER_SECOND, parse_date_ns

# The file that says what was reported. It has this size from the start and is overwritten in place, so that a full disk
# too is reported once only. Before it was JSON, it had another name.
ALERTS_FILE = "alerts.json"
FILE_BYTES = 16384
MOST_FILE_BYTES = 64 * FILE_BYTES

# How much of a log is read where alerts.json has a mark too, and where it has none.
TAIL_BYTES, MOST_LOG_BYTES = 1 << 18, 1 << 25
LAST_SECOND = 253_402_300_800

# A line of a run or of set_time.py; those of versions that left no mark are the second kind.
MARKED = re.compile(rb"^(\S{19}Z) \d+ INFO .*datastore=([0-9a-f]{16})\.(\d{1,18})$", re.M)
UNMARKED = re.compile(rb"^(\S{19}Z) \d+ INFO (?:run status=|set_time time=)(?!.*datastore=)", re.M)


class Mark(NamedTuple):
    """How often the datastore of a place was committed to, in runs.

    Args:
        lineage: A random name that the first datastore there got; "" if it had none yet.
        at_ns: When the mark was left; only for people.
    """

    lineage: str = ""
    commits: int = 0
    at_ns: int = 0

    def __str__(self) -> str:
        return f"{self.lineage}.{self.commits}" if self.lineage else "none"


def newest(settings: Settings) -> tuple[Mark, ...]:
    """The last mark that each of the two files has; none where no run and no set_time.py has committed anything.

    Cost: reads the end of the log and, where that has none, of the log before it; more when alerts.json has none.
    """
    kept = _from_kept(read_kept(settings.state_file(ALERTS_FILE)).get("datastore"))
    log = settings.state_file("log")
    size_bytes = TAIL_BYTES if kept else MOST_LOG_BYTES
    logged = next(filter(None, (_last_in(_tail(path, size_bytes)) for path in (log, f"{log}.1"))), None)
    return tuple(mark for mark in (logged, kept) if mark is not None)


def ahead_of(own: Mark, marks: tuple[Mark, ...]) -> Mark | None:
    """The mark that a datastore with this one cannot have left, so that it is older or another one; else None."""
    ahead = [mark for mark in marks if mark.lineage and (mark.lineage != own.lineage or mark.commits > own.commits)]
    return max(ahead, key=lambda mark: mark.commits, default=None)


def leave(settings: Settings, mark: Mark) -> None:
    """Keep a mark in alerts.json. Where that cannot be written, the log alone has it."""
    path = settings.state_file(ALERTS_FILE)
    at_ns = mark.at_ns or time.time_ns()
    with suppress(OSError, ConfigurationProblem):  # whoever writes what was reported says why
        write_kept(path, {**read_kept(path), "datastore": [mark.lineage, mark.commits, at_ns]})


def read_kept(path: str) -> dict[str, Any]:
    """What `write_kept` wrote; nothing of a file that is missing, torn or not ours."""
    import json

    try:
        kept = json.loads(_read(path, MOST_FILE_BYTES))
    except (ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}


def write_kept(path: str, kept: dict[str, Any]) -> None:
    """Write a small JSON object over the one before.

    Raises:
        ConfigurationProblem: The file cannot be opened.
        OSError: It cannot be written.
    """
    import json

    line = json.dumps(kept).encode("ascii")
    alerts_fd = open_own(path, os.O_WRONLY)
    try:
        os.pwrite(alerts_fd, line.ljust(FILE_BYTES - 1) + b"\n", 0)
        os.ftruncate(alerts_fd, max(len(line) + 1, FILE_BYTES))
    finally:
        os.close(alerts_fd)


def _from_kept(value: Any) -> Mark | None:
    if not isinstance(value, list) or list(map(type, value)) != [str, int, int]:
        return None
    return Mark(*value) if 0 <= value[2] < LAST_SECOND * NS_PER_SECOND else Mark(*value[:2])


def _last_in(text: bytes) -> Mark | None:
    """The last mark in a part of a log; the mark without a lineage stands for a run that left none."""
    marked = _last(MARKED.finditer(text))
    if marked is not None:
        return Mark(marked[2].decode(), int(marked[3]), _moment_ns(marked[1]))
    unmarked = _last(UNMARKED.finditer(text))
    return None if unmarked is None else Mark(at_ns=_moment_ns(unmarked[1]))


def _last(matches: Iterator[re.Match[bytes]]) -> re.Match[bytes] | None:
    last = None
    for last in matches:  # noqa: B007 - only the last one counts
        pass
    return last


def _moment_ns(text: bytes) -> int:
    try:
        return parse_date_ns(text.decode())
    except (UsageProblem, UnicodeDecodeError):
        return 0


def _tail(path: str, size_bytes: int) -> bytes:
    try:
        start = max(0, os.stat(path).st_size - size_bytes)
    except OSError:
        return b""
    return _read(path, size_bytes, start)


def _read(path: str, size_bytes: int, start: int = 0) -> bytes:
    """A part of a file of ours; b"" where there is none that can be read."""
    try:
        file_fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.pread(file_fd, size_bytes, start)
        finally:
            os.close(file_fd)
    except OSError:
        return b""
