"""Describes timers and their tasks in words. Pure.

The service's first interface calls a timer a job; its commands and ids keep that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from autotransfer.common.errors import UsageProblem
from autotransfer.common.paths import display
from autotransfer.common.text import counted, table
from autotransfer.common.times import duration_text, local_text, parse_date_ns

NONE = "-"

STATUS_WORDS = {
    "new": "has not run yet",
    "loaded": "runs on schedule",
    "updated": "was changed a moment ago",
    "inactive": "does not run",
    "ended": "will not run again",
    "deleted": "will not run again; a transfer that it started goes on",
}


class Job(NamedTuple):
    """A timer as shown to a person; each field is text.

    Args:
        activity: What it is doing, or "" while it waits for its next run.
        last_result: The result of its last run; `with_task` replaces it by the outcome of the task.
        inactive: Why it does not run, and how to fix that; "" when it runs.
        task_id: The transfer task of its last run, or "".
        is_troubled: Whether it needs attention: its last run failed or skipped paths, or it waits for a sign-in.
    """

    job_id: str
    name: str
    status: str
    activity: str
    start: str
    interval: str
    next_run: str
    stop: str
    last_run: str
    last_result: str
    runs: str
    errors: str
    inactive: str
    task_id: str
    is_troubled: bool

    def with_task(self, task: Mapping[str, Any] | None) -> Job:
        """The job with the outcome of its last task, which the service's own result does not follow.

        Args:
            task: None when Globus no longer shows it.
        """
        if task is None:
            return self._replace(last_result=f"{self.last_result} (Globus does not show the outcome of the task)")
        is_bad = (
            task.get("status") == "FAILED" or bool(task.get("subtasks_skipped_errors")) or task.get("is_ok") is False
        )
        return self._replace(last_result=task_outcome(task), is_troubled=self.is_troubled or is_bad)

    def rows(self) -> list[tuple[str, str]]:
        """Titles and values, without those that are empty."""
        rows = [
            ("Name", self.name),
            ("Job ID", self.job_id),
            ("Status", self.status + (f" ({words})" if (words := STATUS_WORDS.get(self.status)) else "")),
            ("Inactive", self.inactive),
            ("Activity", self.activity),
            ("Start", self.start),
            ("Interval", self.interval),
            ("Stop After", self.stop),
            ("Next Run", self.next_run),
            ("Last Run", self.last_run),
            ("Last Result", self.last_result),
            ("Last Task", self.task_id or NONE),
            ("Runs", self.runs),
            ("Errors", self.errors),
        ]
        return [(title, value) for title, value in rows if value]


def read_job(document: Mapping[str, Any], *, command: str = "timer.py") -> Job:
    """Read a timer's document, from either interface of the service. Missing fields are shown as "-".

    Args:
        command: How the script was called, for the remedies.
    """
    schedule = document.get("schedule") or {}
    interval = schedule.get("interval_seconds", document.get("interval"))
    result = _last_result(document)
    job_id = str(document.get("job_id") or NONE)
    runs = document.get("n_runs", document.get("number_of_runs"))
    is_deleted = str(document.get("status")) == "deleted"  # nobody can resume it
    cause = (document.get("inactive_reason") or {}).get("cause")
    return Job(
        job_id=job_id,
        name=display(str(document.get("name") or "[unnamed]")),
        status=str(document.get("status") or NONE),
        activity=_activity(document.get("activity") or {}),
        start=_moment(schedule.get("start") or schedule.get("datetime") or document.get("start")),
        interval="once" if interval is None else duration_text(int(interval)),
        next_run=_moment(document.get("next_run")) if _is_running(document) else NONE,
        stop=_stop(document, schedule),
        last_run=_moment(document.get("last_ran_at")),
        last_result=_result_words(result, runs),
        runs=NONE if runs is None else str(runs),
        errors=str(document.get("n_errors", document.get("number_of_errors", NONE))),
        inactive="" if is_deleted else _inactive(document, job_id, command),
        task_id=_task_id(result),
        is_troubled=not is_deleted and (cause not in (None, "user") or _has_failed(result)),
    )


def collection_ids(document: Mapping[str, Any]) -> list[str]:
    """The IDs of the collections in a transfer timer's document, from either interface; none for other timers."""
    callback = document.get("callback_body") or {}
    found: list[str] = []
    for body in (document.get("body"), callback, callback.get("body")):
        if isinstance(body, Mapping):
            for end in ("source_endpoint", "destination_endpoint"):
                found += [str(body[name]) for name in (end, f"{end}_id") if body.get(name)]
    return list(dict.fromkeys(found))


def session_demand(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an inactive timer requires of the session, as Globus states it; None when it requires nothing."""
    detail = (document.get("inactive_reason") or {}).get("detail") or {}
    parameters = detail.get("authorization_parameters") or {}
    asks = any(name.startswith("session_required") and value for name, value in parameters.items())
    return dict(detail) if asks else None


def unchanged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> list[str]:
    """The names of the changes that are missing in the document returned for them."""
    left = [name for name in ("name", "interval") if name in changes and document.get(name) != changes[name]]
    stop = document.get("stop_after") or {}
    for name, wanted in (changes.get("stop_after") or {}).items():
        found = stop.get(name)
        is_same = found == wanted or (name == "date" and wanted and found and _ns(found) == _ns(wanted))
        if not is_same:
            left.append("stop_after")
    return list(dict.fromkeys(left))


def overview(found: list[Job]) -> list[str]:
    """A table with one line per job."""
    rows: list[tuple[str, ...]] = [("Name", "Job ID", "Status", "Next Run", "Last Result")]
    rows += [(job.name, job.job_id, job.status, job.next_run, job.last_result) for job in found]
    return table(rows, separator=" | ")


def task_outcome(task: Mapping[str, Any]) -> str:
    """The outcome of a transfer task, in one line."""
    status = str(task.get("status") or "unknown")
    skipped = task.get("subtasks_skipped_errors") or 0
    skipped_text = f"; {counted(skipped, 'path')} SKIPPED because of errors" if skipped else ""
    if status == "SUCCEEDED":
        copied = (
            f"{counted(task.get('files_transferred') or 0, 'file')} copied, {task.get('bytes_transferred') or 0} bytes"
        )
        return f"SUCCEEDED: {copied}{skipped_text}"
    if status == "FAILED":
        fatal = task.get("fatal_error") or {}
        return f"FAILED: {fatal.get('code') or 'no reason given'} {fatal.get('description') or ''}".rstrip()
    nice = task.get("nice_status")
    trouble = f": {nice}" if nice and not task.get("is_ok", True) else ""
    return f"{status}{trouble} (under way){skipped_text}"


def _ns(text: Any) -> int | None:
    try:
        return parse_date_ns(str(text))
    except UsageProblem:
        return None


def _moment(text: Any) -> str:
    if not text:
        return NONE
    moment_ns = _ns(text)
    return str(text) if moment_ns is None else local_text(moment_ns)


def _is_running(document: Mapping[str, Any]) -> bool:
    return not document.get("inactive_reason") and document.get("status") not in ("inactive", "ended", "deleted")


def _activity(activity: Mapping[str, Any]) -> str:
    code = activity.get("code")
    since = _moment(activity.get("start_timestamp"))
    if code == "run_in_progress":
        return f"a run is in progress since {since}"
    if code == "retrying":
        return f"a run could not be started; retrying since {since}"
    return ""


def _last_result(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    results = document.get("results")
    rows = results.get("data") if isinstance(results, Mapping) else results
    return rows[0] if rows else None


def _has_failed(result: Mapping[str, Any] | None) -> bool:
    if result is None:
        return False
    status = result.get("status")
    return bool(result.get("errors")) or not isinstance(status, int) or status >= 400


def _result_words(result: Mapping[str, Any] | None, runs: Any) -> str:
    if result is None:
        return "unknown; `job status` may show it" if runs else "NOT RUN"
    if not _has_failed(result):
        return "SUBMITTED"
    errors = result.get("errors") or result.get("data")
    if isinstance(errors, Mapping):
        words = [str(errors[name]) for name in ("code", "description", "message", "detail") if errors.get(name)]
        errors = ": ".join(words) or dict(errors)
    status = result.get("status")
    where = f" (HTTP {status})" if isinstance(status, int) else ""
    return display(f"FAILURE: {errors or 'no reason given'}{where}")


def _task_id(result: Mapping[str, Any] | None) -> str:
    document = (result or {}).get("data")
    details = document.get("details") if isinstance(document, Mapping) else None
    return str(details.get("task_id") or "") if isinstance(details, Mapping) else ""


def _stop(document: Mapping[str, Any], schedule: Mapping[str, Any]) -> str:
    if schedule.get("type") == "once":
        return "1 run"
    end = schedule.get("end") or {}
    stop_after = document.get("stop_after") or {}
    runs = end.get("count") or end.get("iterations") or stop_after.get("n_runs")
    date = end.get("datetime") or stop_after.get("date")
    words = [counted(int(runs), "run")] if runs else []
    return " or ".join([*words, *([_moment(date)] if date else [])]) or "never"


def _inactive(document: Mapping[str, Any], job_id: str, command: str) -> str:
    reason = document.get("inactive_reason")
    if not reason:
        return ""
    if reason.get("cause") == "user":
        return f"paused by a person; `{command} job resume {job_id}` resumes it"
    detail = reason.get("detail") or {}
    parameters = detail.get("authorization_parameters") or {}
    words = parameters.get("session_message") or detail.get("code") or reason.get("cause")
    return display(
        f"{words}; to fix it, run `{command} session login --job {job_id}`, then `{command} job resume {job_id}`"
    )
