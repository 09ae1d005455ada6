"""Oddities of what is said about ended tasks: rows and counts that do not fit, on demand.

That the service does any of these is assumed, but for paths that are null: they are, where the caller lacks a role on
the collection (documented by Globus's JavaScript SDK). Whoever reads its lists must not be misled by them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

Row = dict[str, Any]


def _spelled(row: Row, spell: Callable[[str], str]) -> Row:
    paths = {name: spell(row[name]) for name in ("source_path", "destination_path") if row[name]}
    return {**row, **paths}


# What becomes of a row that a rule is about.
ROWS: dict[str, Callable[[Row], list[Row]]] = {
    "missing": lambda row: [],
    "twice": lambda row: [row, row],
    "percent": lambda row: [_spelled(row, quote)],
    "nfd": lambda row: [_spelled(row, lambda path: unicodedata.normalize("NFD", path))],
    "slashes": lambda row: [_spelled(row, lambda path: path.replace("/", "//"))],
    "no_paths": lambda row: [{**row, "source_path": None, "destination_path": None}],
    "no_sizes": lambda row: [{**row, "size": None} if "size" in row else row],
}
# What becomes of a count.
COUNTS: dict[str, Callable[[int], Any]] = {"null": lambda count: None, "text": str, "larger": lambda count: count + 1}
COUNTED = ("files", "files_skipped", "files_transferred", "bytes_transferred", "subtasks_skipped_errors")


@dataclass
class OddList:
    """What is odd about the lists, or a count, of tasks that end.

    Attributes:
        kind: A key of ROWS, or of COUNTS.
        path: For rows: a pattern of source paths; None is every path.
        count: For counts: one of COUNTED.
        times: Of how many tasks; None is of all.
    """

    kind: str
    path: str | None = None
    count: str = "files"
    times: int | None = None
    task_ids: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in {**ROWS, **COUNTS}:
            raise ValueError(f"kind {self.kind!r} is not one of {', '.join([*ROWS, *COUNTS])}")
        if self.count not in COUNTED:
            raise ValueError(f"count {self.count!r} is not one of {', '.join(COUNTED)}")

    def is_about(self, task_id: str) -> bool:
        """Whether it is about this task, once and for all."""
        if task_id not in self.task_ids and self.times != 0:
            self.times = None if self.times is None else self.times - 1
            self.task_ids.add(task_id)
        return task_id in self.task_ids


class OddLists:
    """The oddities in force."""

    def __init__(self) -> None:
        self.rules: list[OddList] = []

    def document(self, task_id: str, document: Row) -> Row:
        """The document of an ended task, with odd counts."""
        for rule in self._about(task_id):
            if rule.kind in COUNTS and type(document.get(rule.count)) is int:
                document[rule.count] = COUNTS[rule.kind](document[rule.count])
        return document

    def is_odd(self, task_id: str) -> bool:
        """Whether the lists of an ended task differ from what they should be."""
        return any(rule.kind in ROWS for rule in self._about(task_id))

    def rows(self, task_id: str, rows: list[Row]) -> list[Row]:
        """The rows of a list of an ended task as they are shown."""
        for rule in self._about(task_id):
            if rule.kind in ROWS:
                rows = [shown for row in rows for shown in _shown(rule, row)]
        return rows

    def _about(self, task_id: str) -> list[OddList]:
        return [rule for rule in self.rules if rule.is_about(task_id)]


def _shown(rule: OddList, row: Row) -> list[Row]:
    is_meant = rule.path is None or fnmatchcase(row["source_path"] or "", rule.path)
    return ROWS[rule.kind](row) if is_meant else [row]
