"""The items file of `timer.py job transfer`: CSV lines `source, destination, recursive`, `#` for comments."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import NamedTuple

from autotransfer.common.errors import UsageProblem

YES = ("true", "yes", "on", "1", "t", "y")
NO = ("false", "no", "off", "0", "f", "n")


class TimerItem(NamedTuple):
    """One item of a timer: its paths on the two collections, and whether it is a folder with everything in it."""

    source_path: str
    destination_path: str
    is_recursive: bool


def read_items(lines: Iterable[str], *, name: str) -> list[TimerItem]:
    """Read the items of a file.

    Args:
        name: The file's name, for the messages.

    Raises:
        UsageProblem: There is no item, or a line is wrong; the message says which.
    """
    items = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            (row,) = csv.reader([line.strip()], skipinitialspace=True, strict=True)
        except (csv.Error, ValueError) as error:
            raise _wrong(name, number, f"it is not CSV ({error})") from None
        columns = [column.strip() for column in row]
        if len(columns) != 3:
            raise _wrong(name, number, f"it has {len(columns)} columns, not 3")
        if not (columns[0] and columns[1]):
            raise _wrong(name, number, "a path is empty")
        try:
            items.append(TimerItem(columns[0], columns[1], yes_or_no(columns[2])))
        except UsageProblem as problem:
            raise _wrong(name, number, problem.what) from None
    if not items:
        raise UsageProblem(f"The items file {name} holds no item", remedy=f"{FORM} Nothing was created.")
    return items


def yes_or_no(text: str) -> bool:
    """Whether the text means yes.

    Raises:
        UsageProblem: It means neither yes nor no.
    """
    if text.lower() in YES:
        return True
    if text.lower() in NO:
        return False
    raise UsageProblem(f"{text!r} is neither true nor false", remedy="Write true for a folder, false for a file.")


FORM = "Write a line such as `/data/run7/, /archive/run7/, true` for each; lines that start with # are comments."


def _wrong(name: str, number: int, why: str) -> UsageProblem:
    return UsageProblem(
        f"Line {number} of the items file {name} is wrong", why=why, remedy=f"{FORM} Nothing was created."
    )
