"""What Globus's document of a task means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from autotransfer.common.errors import UsageProblem
from autotransfer.common.times import DAY, HOUR, MINUTE, NS_PER_SECOND, parse_date_ns, utc_text
from autotransfer.datastore.tasks import CANCELED, EXPIRED, FAILED, SUCCEEDED, Task

RUNNING, STUCK = "running", "stuck"


UNKNOWN = -1


HEALTHY_STATUS = ("OK", "QUEUED")


FIRST_PAUSE_SECONDS = 5 * MINUTE


PROGRESS_FIELDS = ("bytes_transferred", "files_transferred", "files_skipped", "directories", "subtasks_succeeded")


class TaskStatus(NamedTuple):
    """What a task's document means.

    Args:
        state: RUNNING, STUCK (to be canceled), SUCCEEDED, FAILED, CANCELED or EXPIRED.
        trouble: In words for a person, when the task needs one or is stalled; else "".
        reason: Why it failed, in Globus's words.
        code: Of the trouble or the reason, in one word where Globus gives one.
        skipped: How many paths it left out at the source; UNKNOWN when the document does not say.
        files: How many files it saw there; UNKNOWN likewise.
        ended_at_ns: When it ended by Globus's clock; 0 when that is not known.
    """

    state: str
    progress: tuple[int, ...] = ()
    trouble: str = ""
    reason: str = ""
    code: str = ""
    skipped: int = 0
    files: int = UNKNOWN
    ended_at_ns: int = 0


def task_status(task: Task, document: Mapping[str, Any], *, now_ns: int, stuck_hours: float) -> TaskStatus:
    """What Globus's document of a task means for us; anything not known is never taken for success.

    Source: docs.globus.org/api/transfer/task (status, fatal_error, nice_status) and …/task_behavior.
    """
    status = document.get("status")
    if status == "SUCCEEDED":
        return TaskStatus(
            SUCCEEDED,
            skipped=_count(document, "subtasks_skipped_errors", missing=UNKNOWN),
            files=_count(document, "files", missing=UNKNOWN),
            ended_at_ns=_ended_at_ns(document),
        )
    if status == "FAILED":
        return _failure(document)
    progress = tuple(_count(document, field) for field in PROGRESS_FIELDS)
    # A moment in the future was noted by a clock that was wrong.
    since_ns = min(task.progress_at_ns, now_ns) if progress == task.progress else now_ns
    code, trouble = _trouble(document)
    is_late = now_ns - since_ns >= stuck_hours * HOUR * NS_PER_SECOND
    may_cancel = status == "ACTIVE" and bool(trouble) and not document.get("is_paused")
    return TaskStatus(STUCK if is_late and may_cancel else RUNNING, progress, trouble, code=code)


def _count(document: Mapping[str, Any], field: str, *, missing: int = 0) -> int:
    count = document.get(field)
    return count if isinstance(count, int) else missing


def _failure(document: Mapping[str, Any]) -> TaskStatus:
    fatal = document.get("fatal_error") or {}
    code = str(fatal.get("code") or "")
    description = str(fatal.get("description") or "")
    reason = ": ".join(filter(None, (code, description))) or "no reason given"
    if message := document.get("canceled_by_admin_message"):
        reason = f"{reason} ({message})"
    state = {"CANCELED": CANCELED, "EXPIRED": EXPIRED}.get(code.upper(), FAILED)
    if document.get("canceled_by_admin"):
        state = CANCELED
    code = code or description or "no reason given"
    return TaskStatus(state, reason=reason, code=code, ended_at_ns=_ended_at_ns(document))


def _ended_at_ns(document: Mapping[str, Any]) -> int:
    try:
        return parse_date_ns(str(document.get("completion_time") or ""))
    except UsageProblem:
        return 0


def _trouble(document: Mapping[str, Any]) -> tuple[str, str]:
    """The code of what is wrong and its words, or two empty texts."""
    status = document.get("status")
    if status == "INACTIVE":
        return "INACTIVE", "INACTIVE: its credentials expired; sign in again in the Globus web app to let it go on"
    if status != "ACTIVE":
        return str(status), f"status {status!r}, which is not known here"
    if document.get("is_paused"):
        return "PAUSED", "PAUSED by the administrator of a collection; it goes on when they let it"
    nice = str(document.get("nice_status") or "OK")
    if nice.upper() in HEALTHY_STATUS or document.get("is_ok"):
        return "", ""
    details = str(document.get("nice_status_short_description") or "").strip()
    faults = _count(document, "faults")
    words = f"{nice}: {details}" if details and details != nice else nice
    return nice, f"{words} ({faults} fault{'s' * (faults != 1)} so far)"


def pause_ns(attempts: int) -> int:
    """How long a path rests after that many failed tries: not at all after the first, then doubling up to a day."""
    if attempts <= 1:
        return 0
    return min(DAY, FIRST_PAUSE_SECONDS << min(attempts - 2, 20)) * NS_PER_SECOND


def label_for(base: str, number: int, submission_id: str, *, now_ns: int) -> str:
    """A task's label: the owner's words, our number, the time, and what makes it unique; fit for Globus's filter."""
    return f"{base} {number} {utc_text(now_ns).replace(':', '').rstrip('Z')} {submission_id[:8]}"
