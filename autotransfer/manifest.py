"""Export what was delivered, a row a path, as CSV or JSON Lines; as long as the list may be, memory stays flat."""

from __future__ import annotations

import csv
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO

from autotransfer.errors import ConfigurationProblem, UsageProblem, reason
from autotransfer.folder_state import DeliveredPath
from autotransfer.times import NS_PER_SECOND, utc_text

CSV, JSON_LINES = "csv", "jsonl"
FORMATS = (CSV, JSON_LINES)
SUFFIXES = {".csv": CSV, ".jsonl": JSON_LINES, ".ndjson": JSON_LINES}
COLUMNS = ("path", "size_bytes", "mtime", "delivered_at", "task_id")
PROGRESS_EVERY = 10_000


def format_of(path: str, chosen: str | None) -> str:
    """The format that was chosen, or that the file's suffix says; CSV for standard output.

    Raises:
        UsageProblem: Neither says it.
    """
    if chosen:
        return chosen
    if path == "-":
        return CSV
    found = SUFFIXES.get(os.path.splitext(path)[1].lower())
    if found is None:
        raise UsageProblem(
            f"The name {path} does not say in which format",
            remedy="End it in .csv or .jsonl, or add --format. Nothing was written.",
        )
    return found


def write(
    rows: Iterable[DeliveredPath], stream: IO[str], kind: str, *, on_progress: Callable[[int], None] | None = None
) -> int:
    """Write the rows to a stream that does not translate line ends; gives how many."""
    count = 0
    put = _csv_writer(stream) if kind == CSV else _json_writer(stream)
    moments = _Moments()
    for path, size_bytes, mtime_ns, delivered_at_ns, task_id in rows:
        put((path, size_bytes, moments.exact(mtime_ns), moments.to_the_second(delivered_at_ns), task_id))
        count += 1
        if on_progress is not None and count % PROGRESS_EVERY == 0:
            on_progress(count)
    return count


def _csv_writer(stream: IO[str]) -> Callable[[tuple[object, ...]], object]:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    return writer.writerow


def _json_writer(stream: IO[str]) -> Callable[[tuple[object, ...]], object]:
    encode = json.JSONEncoder(ensure_ascii=False).encode
    return lambda values: stream.write(encode(dict(zip(COLUMNS, values))) + "\n")


class _Moments:
    """Moments as ISO 8601 in UTC; files come in bursts, so the text of a second is mostly at hand."""

    def __init__(self) -> None:
        self._second = lru_cache(maxsize=8192)(_second_text)

    def to_the_second(self, moment_ns: int) -> str:
        return self._second(moment_ns // NS_PER_SECOND) + "Z"

    def exact(self, moment_ns: int) -> str:
        seconds, rest_ns = divmod(moment_ns, NS_PER_SECOND)
        return f"{self._second(seconds)}.{rest_ns:09d}Z"


def _second_text(seconds: int) -> str:
    try:
        return utc_text(seconds * NS_PER_SECOND)[:-1]
    except (ValueError, OverflowError, OSError):  # beyond the year 9999: a file system can hold it
        return f"@{seconds}"


@contextmanager
def replaced(path: str, *, keeps_mode: bool = False) -> Iterator[IO[str]]:
    """A stream whose content takes the file's place once the block has ended well; until then the old one stays.

    The file is this user's own (mode 0600). Should the block fail, nothing is left behind.

    Args:
        path: The file.
        keeps_mode: Whether it gets the permissions of the one that was there, which its owner may have changed.

    Raises:
        ConfigurationProblem: It cannot be written.
    """
    folder, name = os.path.split(os.path.abspath(path))
    try:
        # Not through a link, and never over a device or a pipe.
        if os.path.lexists(path) and not (os.path.isfile(path) and not os.path.islink(path)):
            raise ConfigurationProblem(
                f"{path} is no regular file",
                remedy="Give another name, or - for standard output. Nothing was written.",
            )
        mode = stat.S_IMODE(os.stat(path).st_mode) & 0o666 if keeps_mode and os.path.lexists(path) else 0o600
        file_fd, partial = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".part", dir=folder)
        try:
            with os.fdopen(file_fd, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                yield stream
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
    except OSError as error:
        raise ConfigurationProblem(
            f"Cannot write {path}",
            why=reason(error),
            remedy="Check its folder and the room on its disk. What was there under this name is unharmed.",
        ) from None
