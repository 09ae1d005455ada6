"""Exit statuses, and one class per remedy for what can go wrong.

Problem
├── UsageProblem           2  the command line
├── SignInNeeded           4  a person must sign in
├── ConfigurationProblem   5  a setting, a folder or a file of ours must be fixed
├── GlobusProblem          6  Globus refused or is unreachable
│   ├── Unreachable           no answer came
│   │   └── RateLimited       too many requests, or too many pending tasks
│   ├── TaskUnknown           Globus does not know a task
│   ├── RequestRefused        a request was refused for what is in it
│   ├── RequestTooLarge       a submission holds more than Globus accepts
│   ├── IdenticalPaths        an open task already carries these paths
│   └── OutcomeUnknown        the answer to a submission was lost
└── RunActive              7  another run holds the lock
"""

from __future__ import annotations

from enum import IntEnum

# The one kind of every problem that means: Globus does not answer, or asks to be left alone for a while.
GLOBUS_AWAY = "globus_away"


class ExitStatus(IntEnum):
    """The published contract with cron and scripts; a status not listed here means failure."""

    DONE = 0
    BUG = 1
    USAGE = 2
    PARTIAL = 3
    SIGN_IN = 4
    CONFIGURATION = 5
    GLOBUS = 6
    ACTIVE = 7
    UNDER_WAY = 8


# In words, as in the README's table.
MEANINGS: dict[int, str] = {
    ExitStatus.DONE: "done, or nothing to do",
    ExitStatus.BUG: "a bug; the traceback is in the log",
    ExitStatus.USAGE: "wrong arguments",
    ExitStatus.PARTIAL: "done, but some paths were skipped, or a task failed or is stuck",
    ExitStatus.SIGN_IN: "sign-in needed: run `test_config.py` in a terminal",
    ExitStatus.CONFIGURATION: "a setting, a folder or the datastore must be fixed",
    ExitStatus.GLOBUS: "Globus refused or is unreachable; the next run tries again",
    ExitStatus.ACTIVE: "another run is active",
    ExitStatus.UNDER_WAY: "done, and `--wait` ended before the tasks did; they go on",
}


def reason(error: Exception) -> str:
    """Why something failed, in the system's own words, to be put into a sentence."""
    return str(getattr(error, "strerror", None) or error).lower()


class Problem(Exception):
    """Something a person can act on: what happened, why in the system's own words, and what to do.

    Args:
        what: One clause in the owner's words, without a final full stop.
        why: The reason as the operating system or Globus gave it; empty when `what` says it all.
        remedy: One or more full sentences; says whether anything was sent or recorded where that could be feared.
        code: What tells it from others of its kind where `what` and `why` hold an ID, a number or a changing path.

    Attributes:
        kind: Its class in one word, for alerts: problems of one kind and cause are one problem, however often met.
        is_silent: Whether it is not printed: nobody needs to read it, or those who do have read it before.
    """

    exit_status = ExitStatus.BUG
    kind = "problem"
    is_silent = False

    def __init__(self, what: str, *, why: str = "", remedy: str = "", code: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy
        self.code = code

    @property
    def cause(self) -> str:
        """What tells it from other problems of its kind; the same each time that it is met."""
        return self.code or f"{self.what}: {self.why}"

    def __str__(self) -> str:
        reason = f": {self.why}" if self.why else ""
        stop = "" if (self.why or self.what).endswith((".", "!", "?")) else "."
        return f"{self.what}{reason}{stop}" + (f" {self.remedy}" if self.remedy else "")


class UsageProblem(Problem):
    """The command line asks for something that cannot be done."""

    exit_status = ExitStatus.USAGE
    kind = "usage"


class SignInNeeded(Problem):
    """There is no usable login; only a person can fix that."""

    exit_status = ExitStatus.SIGN_IN
    kind = "sign_in"


class ConfigurationProblem(Problem):
    """A setting, a folder or a file of ours is wrong; `details` holds one line per finding."""

    exit_status = ExitStatus.CONFIGURATION
    kind = "configuration"

    def __init__(
        self, what: str, *, why: str = "", remedy: str = "", code: str = "", details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what, why=why, remedy=remedy, code=code)
        self.details = details

    def __str__(self) -> str:
        if not self.details:
            return super().__str__()
        lines = "".join(f"\n  - {line}" for line in self.details)
        return f"{self.what}:{lines}" + (f"\n{self.remedy}" if self.remedy else "")


class GlobusProblem(Problem):
    """Globus refused or could not be reached; a later run tries again."""

    exit_status = ExitStatus.GLOBUS
    kind = "globus"


class Unreachable(GlobusProblem):
    """No answer came: nothing else need be tried in this run."""

    kind = GLOBUS_AWAY


class RateLimited(Unreachable):
    """Globus takes no more requests, or no more tasks, for now: that is about all of them, not about one task."""


class TaskUnknown(GlobusProblem):
    """Globus refused to show a task, and not because of the login: it is unknown, or another identity's."""


class ListRefused(GlobusProblem):
    """Globus refused a page of a task's list, and not because of the login or of too many requests."""


class FolderTooLarge(GlobusProblem):
    """Globus lists no folder as large; it transfers it nevertheless."""


class RequestTooLarge(GlobusProblem):
    """The submission holds more than Globus accepts in one request."""


class RequestRefused(GlobusProblem):
    """Globus refused a request for what is in it (HTTP 400 or 422)."""


class IdenticalPaths(GlobusProblem):
    """A task with the same paths has not yet ended (HTTP 409)."""


class OutcomeUnknown(GlobusProblem):
    """The submission may or may not have reached Globus: send it again with its own submission_id."""

    kind = GLOBUS_AWAY


class RunActive(Problem):
    """Another run holds the lock; `is_silent` when nobody needs to know, as under cron.

    Args:
        is_overlong: Whether it has held it for so long that somebody should check.
    """

    exit_status = ExitStatus.ACTIVE
    kind = "run_active"

    def __init__(self, what: str, *, remedy: str, is_silent: bool, is_overlong: bool = False) -> None:
        super().__init__(what, remedy=remedy, code="active")
        self.is_silent = is_silent
        self.is_overlong = is_overlong
