"""Amounts, ages and names as a person reads them, and tables that stay aligned with names of any script. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from autotransfer.common.paths import display
from autotransfer.common.times import DAY, HOUR, MINUTE, local_text


def moment_text(moment_ns: int) -> str:
    """The moment in local time; the number of nanoseconds where no calendar has it."""
    try:
        return local_text(moment_ns)
    except (ValueError, OverflowError, OSError):
        return f"{moment_ns} ns"


CUT = "..."


def size_text(size_bytes: float) -> str:
    """Bytes as a person reads them: 512 B, 3.4 MB, 1.2 TB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} PB"


def age_text(seconds: float) -> str:
    """A length of time in its largest unit, cut off: 50 seconds, 4 minutes, 36 hours, 3 days.

    >>> [age_text(seconds) for seconds in (1, 119, 36 * 3600, 86400 * 3)]
    ['1 second', '1 minute', '36 hours', '3 days']
    """
    if seconds < MINUTE:
        return counted(max(0, int(seconds)), "second")
    if seconds < HOUR:
        return counted(int(seconds / MINUTE), "minute")
    return counted(int(seconds / HOUR), "hour") if seconds < 2 * DAY else counted(int(seconds / DAY), "day")


def width(text: str) -> int:
    """The columns that the text takes on a terminal: two for wide characters, none for combining and invisible ones.

    >>> width("abc"), width("\\u6e2c\\u5b9a"), width("e\\u0301")
    (3, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(path: str, columns: int) -> str:
    """The path on one line, without control characters; the front of a wider one is cut off."""
    text = display(path)
    if width(text) <= columns:
        return text
    kept = len(text)
    room = columns - len(CUT)
    while kept and room >= _columns(text[kept - 1]):
        kept -= 1
        room -= _columns(text[kept])
    while kept < len(text) and not _columns(text[kept]):  # a mark whose letter was cut off
        kept += 1
    return CUT + text[kept:]


def table(rows: Iterable[Sequence[str]], *, right: Iterable[int] = (), separator: str = "  ") -> list[str]:
    """The rows as lines with aligned columns.

    Args:
        rows: Cells of one line each; every row has the same number of them.
        right: The columns that are aligned to the right.
        separator: What stands between two columns.
    """
    cells = [list(row) for row in rows]
    to_right = set(right)
    widths = [max(map(width, column)) for column in zip(*cells)]
    lines = []
    for row in cells:
        padded = [
            " " * (widths[at] - width(cell)) + cell if at in to_right else cell + " " * (widths[at] - width(cell))
            for at, cell in enumerate(row)
        ]
        lines.append(separator.join(padded).rstrip())
    return lines


def bar(done: float, total: float, *, columns: int) -> str:
    """A progress bar, such as [#####-----]."""
    filled = columns if total <= 0 else min(columns, int(done * columns / total))
    return f"[{'#' * filled}{'-' * (columns - filled)}]"


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as `1 path` and `1,234 paths`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
