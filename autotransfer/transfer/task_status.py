"""Interprets Globus's document of a task. Pure."""

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


class Counts(NamedTuple):
    """What the document of an ended task counts; UNKNOWN for what is missing or no whole number.

    Args:
        files: Files that it found at the source.
        transferred, size_bytes: Files that it copied, and their bytes.
        current: Files that it did not copy, because the sync level took their copies for current (files_skipped).
        errors: Paths that it gave up at the source (subtasks_skipped_errors).
        faults: Errors that it met under way. A file that is copied once more after one has all its bytes counted again,
            so that only without any do they say what is at the destination.
    """

    files: int = UNKNOWN
    transferred: int = UNKNOWN
    size_bytes: int = UNKNOWN
    current: int = UNKNOWN
    errors: int = UNKNOWN
    faults: int = UNKNOWN


class TaskStatus(NamedTuple):
    """The status of a task, as its document shows it.

    Args:
        state: RUNNING, STUCK (to be canceled), SUCCEEDED, FAILED, CANCELED or EXPIRED.
        trouble: Why the task is stalled or needs a person, in words; "" if it does not.
        reason: Why it failed, in Globus's words.
        code: The trouble or the reason in one word, if Globus has one.
        counts: What the document of an ended task counts.
        has_history: Whether Globus still keeps its lists (`history_deleted` is not true).
        verified: Whether it verified checksums, as far as the document says.
        ended_at_ns: When it ended by Globus's clock; 0 if that is not known.
        may_cancel: Whether it is canceled if the trouble lasts: not one that somebody else holds and may let go on.
    """

    state: str
    progress: tuple[int, ...] = ()
    trouble: str = ""
    reason: str = ""
    code: str = ""
    counts: Counts = Counts()
    has_history: bool = True
    verified: bool = True
    ended_at_ns: int = 0
    may_cancel: bool = False


def task_status(task: Task, document: Mapping[str, Any], *, now_ns: int, stuck_hours: float) -> TaskStatus:
    """Interpret Globus's document of a task, in the form that globus.answers gives it.

    Nothing unknown is taken for success.

    Source: docs.globus.org/api/transfer/task (status, fatal_error, nice_status) and …/task_behavior.
    """
    status = document.get("status")
    if status == "SUCCEEDED":
        return _ended(SUCCEEDED, document)
    if status == "FAILED":
        return _failure(document)
    progress = tuple(document.get(field) or 0 for field in PROGRESS_FIELDS)
    # A time in the future was recorded while the clock was wrong.
    since_ns = min(task.progress_at_ns, now_ns) if progress == task.progress else now_ns
    code, trouble = _trouble(document)
    is_late = now_ns - since_ns >= stuck_hours * HOUR * NS_PER_SECOND
    may_cancel = status == "ACTIVE" and code not in ("", "PAUSED")
    state = STUCK if is_late and may_cancel else RUNNING
    return TaskStatus(state, progress, trouble, code=code, may_cancel=may_cancel)


def _ended(state: str, document: Mapping[str, Any], *, reason: str = "", code: str = "") -> TaskStatus:
    fields = ("files", "files_transferred", "bytes_transferred", "files_skipped", "subtasks_skipped_errors", "faults")
    return TaskStatus(
        state,
        reason=reason,
        code=code,
        counts=Counts(*(UNKNOWN if (found := document.get(field)) is None else found for field in fields)),
        has_history=document.get("history_deleted") is not True,
        verified=document.get("verify_checksum", True) is True,
        ended_at_ns=_ended_at_ns(document),
    )


def _failure(document: Mapping[str, Any]) -> TaskStatus:
    fatal = document.get("fatal_error") or {}
    code, description = fatal.get("code") or "", fatal.get("description") or ""
    reason = ": ".join(filter(None, (code, description))) or "no reason given"
    if message := document.get("canceled_by_admin_message"):
        reason = f"{reason} ({message})"
    state = {"CANCELED": CANCELED, "EXPIRED": EXPIRED}.get(code.upper(), FAILED)
    if document.get("canceled_by_admin"):
        state = CANCELED
    code = code or description or "no reason given"
    return _ended(state, document, reason=reason, code=code)


def _ended_at_ns(document: Mapping[str, Any]) -> int:
    try:
        moment_ns = parse_date_ns(document.get("completion_time") or "")
    except UsageProblem:
        return 0
    return moment_ns if 0 < moment_ns < 1 << 62 else 0  # what no clock says is not stored


def _trouble(document: Mapping[str, Any]) -> tuple[str, str]:
    """What is wrong, as a code and in words; two empty strings if nothing is."""
    status, nice = document.get("status"), document.get("nice_status") or "OK"
    if status not in ("ACTIVE", "INACTIVE"):
        return str(status), f"unknown status {status!r}"
    # Observed: an INACTIVE task with PAUSED_BY_ADMIN as its nice_status.
    if document.get("is_paused") or nice.upper().startswith("PAUSED"):
        return "PAUSED", "PAUSED by an administrator of a collection; it continues when they resume it"
    if status == "INACTIVE":
        return "INACTIVE", "INACTIVE: its credentials expired; sign in again in the Globus web app to resume it"
    if nice.upper() in HEALTHY_STATUS or document.get("is_ok"):
        return "", ""
    details = document.get("nice_status_short_description") or ""
    faults = document.get("faults") or 0
    words = f"{nice}: {details}" if details and details != nice else nice
    return nice, f"{words} ({faults} fault{'s' * (faults != 1)} so far)"


def pause_ns(attempts: int) -> int:
    """How long a path backs off after its last failed attempt: not after one, then twice as long each, up to a day."""
    if attempts <= 1:
        return 0
    return min(DAY, FIRST_PAUSE_SECONDS << min(attempts - 2, 20)) * NS_PER_SECOND


def label_for(base: str, number: int, submission_id: str, *, now_ns: int) -> str:
    """A unique label for a task, by which Globus can filter: LABEL, our number, the time, part of its submission_id."""
    return f"{base} {number} {utc_text(now_ns).replace(':', '').rstrip('Z')} {submission_id[:8]}"
