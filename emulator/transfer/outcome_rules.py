"""Rules by which tests decide how tasks go: fail, stall, skip, corrupt, and so on.

"current" takes a file for current that is there at the destination, at any sync level below checksum: clocks of file
servers differ, and so may what they say of times and sizes (assumed).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

# What each outcome says when a rule names no code.
DEFAULT_CODES = {
    "fail": "ENDPOINT_ERROR",
    "stall": "PERMISSION_DENIED",
    "skip": "PERMISSION_DENIED",
    "cancel": "CANCELED",
    "expire": "EXPIRED",
    "inactive": "NO_CREDENTIALS",
    "pause": "PAUSED",
    "forget": "",
    "corrupt": "VERIFY_CHECKSUM",
    "half": "CONNECTION_BROKEN",
    "current": "",
}
PER_FILE = {"stall", "skip", "corrupt", "half", "current"}


@dataclass
class OutcomeRule:
    """The outcome of tasks (or files) that are still to be processed.

    Attributes:
        outcome: A key of DEFAULT_CODES.
        path: Pattern for source paths; None is every path.
        label: Pattern for labels; None is every task.
        times: How often the rule acts; None is always.
        code: The code of the fault, skipped error or fatal error; "" is the outcome's default.
        after_files: Acts once the task has processed this number of files.
    """

    outcome: str
    path: str | None = None
    label: str | None = None
    times: int | None = None
    code: str = ""
    after_files: int | None = None
    armed_tasks: set[str] = field(default_factory=set, repr=False)
    ended_tasks: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        if self.outcome not in DEFAULT_CODES:
            raise ValueError(f"outcome {self.outcome!r} is not one of {', '.join(DEFAULT_CODES)}")
        self.code = self.code or DEFAULT_CODES[self.outcome]

    def matches_label(self, label: str | None) -> bool:
        """Whether the rule is about tasks with this label."""
        return self.label is None or fnmatchcase(label or "", self.label)

    def matches_path(self, path: str) -> bool:
        """Whether the rule is about this source path."""
        return self.path is None or fnmatchcase(path, self.path)


class OutcomeRules:
    """The rules in force, first come first."""

    def __init__(self) -> None:
        self.rules: list[OutcomeRule] = []

    def take_for_file(self, task_id: str, label: str | None, path: str, files_done: int) -> OutcomeRule | None:
        """The rule that decides about the file to be dealt with next; it is used up by one."""
        for rule in self.rules:
            if rule.times == 0 or not rule.matches_label(label):
                continue
            if rule.outcome in PER_FILE:
                is_due = rule.matches_path(path) and files_done >= (rule.after_files or 0)
            else:
                if rule.matches_path(path):
                    rule.armed_tasks.add(task_id)
                is_due = _is_due(rule, task_id) and _is_reached(rule, files_done)
            if is_due:
                _use(rule, task_id)
                return rule
        return None

    def take_for_end(self, task_id: str, label: str | None, files_done: int) -> OutcomeRule | None:
        """The rule that decides about a task whose files are all dealt with."""
        for rule in self.rules:
            if rule.times == 0 or rule.outcome in PER_FILE or not rule.matches_label(label):
                continue
            if rule.path is None:
                rule.armed_tasks.add(task_id)
            if _is_due(rule, task_id) and files_done >= (rule.after_files or 0):
                _use(rule, task_id)
                return rule
        return None


def _is_due(rule: OutcomeRule, task_id: str) -> bool:
    # A rule about whole tasks acts once in each: a task that was paused and goes on is not paused again.
    return task_id in rule.armed_tasks and task_id not in rule.ended_tasks


def _is_reached(rule: OutcomeRule, files_done: int) -> bool:
    # Without a number, "forget" lets the work be done first: the bytes arrive, the record is lost.
    if rule.outcome == "forget" and rule.after_files is None:
        return False
    return files_done >= (rule.after_files or 0)


def _use(rule: OutcomeRule, task_id: str) -> None:
    rule.ended_tasks.add(task_id)
    if rule.times is not None:
        rule.times -= 1
