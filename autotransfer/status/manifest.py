"""Export what was delivered as CSV or JSON Lines, one row per path; memory does not grow with the list."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Protocol

from autotransfer.common.errors import UsageProblem
from autotransfer.common.service import GLOBUS_NAME
from autotransfer.common.times import NS_PER_SECOND, utc_text
from autotransfer.common.version import SCHEMA
from autotransfer.status.folders import DeliveredPath

CSV, JSON_LINES = "csv", "jsonl"
FORMATS = (CSV, JSON_LINES)
SUFFIXES = {".csv": CSV, ".jsonl": JSON_LINES, ".ndjson": JSON_LINES}
COLUMNS = ("path", "size_bytes", "mtime", "delivered_at", "task_id", "evidence", "schema", "service")
PROGRESS_EVERY = 10_000


class Lines(Protocol):
    """What the rows are written to, each with one call."""

    def write(self, line: str, /) -> object: ...


def format_of(path: str, chosen: str | None) -> str:
    """The chosen format, or the one of the file's suffix; CSV for standard output.

    Raises:
        UsageProblem: Neither is given.
    """
    if chosen:
        return chosen
    if path == "-":
        return CSV
    found = SUFFIXES.get(os.path.splitext(path)[1].lower())
    if found is None:
        raise UsageProblem(
            f"The format of {path} is not known",
            remedy="End it in .csv or .jsonl, or add --format. Nothing was written.",
        )
    return found


def write(
    rows: Iterable[DeliveredPath],
    stream: Lines,
    kind: str,
    *,
    service: str = GLOBUS_NAME,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Write the rows to a stream that does not translate line ends; returns their number.

    Args:
        service: The name of the service that has served the route, for each row.
    """
    count = 0
    put = _csv_writer(stream) if kind == CSV else _json_writer(stream)
    moments = _Moments()
    for path, size_bytes, mtime_ns, delivered_at_ns, task_id, evidence in rows:
        delivered_at = moments.to_the_second(delivered_at_ns)
        mtime = "" if path.endswith("/") else moments.exact(mtime_ns)  # that of an empty folder is not recorded
        put((path, size_bytes, mtime, delivered_at, task_id, evidence, SCHEMA, service))
        count += 1
        if on_progress is not None and count % PROGRESS_EVERY == 0:
            on_progress(count)
    return count


def _csv_writer(stream: Lines) -> Callable[[tuple[object, ...]], object]:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    return writer.writerow


def _json_writer(stream: Lines) -> Callable[[tuple[object, ...]], object]:
    encode = json.JSONEncoder(ensure_ascii=False).encode
    return lambda values: stream.write(encode(dict(zip(COLUMNS, values))) + "\n")


class _Moments:
    """Moments as ISO 8601 in UTC. Files come in bursts, so most texts of a second are cached."""

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
