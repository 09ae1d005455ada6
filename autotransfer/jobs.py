"""Timers as documents: what is asked of the Timers service, and what its answers mean to a person. Pure.

A job is what the service's first interface calls a timer; its commands and ids keep that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from autotransfer.batches import SYNC_LEVELS, transfer_document
from autotransfer.errors import UsageProblem
from autotransfer.items_file import TimerItem
from autotransfer.settings import Settings
from autotransfer.times import iso_text

NONE = "-"
LONGEST_LABEL = 128


class Schedule(NamedTuple):
    """When a timer runs, as the command line asks for it; None where it is silent."""

    interval_seconds: int | None
    start_ns: int | None
    stop_date_ns: int | None
    stop_runs: int | None

    def document(self) -> dict[str, Any]:
        """The schedule as POST /v2/timer takes it.

        Raises:
            UsageProblem: It cannot be expressed there.
        """
        if self.stop_runs is not None and self.stop_runs < 1:
            raise UsageProblem("--stop-after-runs must be at least 1", remedy="Leave it out to run without an end.")
        if self.stop_runs is not None and self.stop_date_ns is not None:
            raise UsageProblem(
                "--stop-after-date and --stop-after-runs do not go together",
                why="a transfer timer of the Timers service ends by one of them",
                remedy="Give the one that matters. Nothing was created.",
            )
        if self.stop_runs == 1:  # the service's own form for a single run; an interval has no meaning then
            once: dict[str, Any] = {"type": "once"}
            return once if self.start_ns is None else {**once, "datetime": iso_text(self.start_ns)}
        if self.interval_seconds is None:
            raise UsageProblem("--interval is missing", remedy="Give one such as 8h, or --stop-after-runs 1.")
        document: dict[str, Any] = {"type": "recurring", "interval_seconds": self.interval_seconds}
        if self.start_ns is not None:
            document["start"] = iso_text(self.start_ns)
        if self.stop_runs is not None:
            document["end"] = {"condition": "iterations", "count": self.stop_runs}
        if self.stop_date_ns is not None:
            if self.start_ns is not None and self.stop_date_ns <= self.start_ns:
                raise UsageProblem("--stop-after-date is not after --start", remedy="It would never run.")
            document["end"] = {"condition": "time", "datetime": iso_text(self.stop_date_ns)}
        return document


class TransferOptions(NamedTuple):
    """What the command line says of the transfer; None means the configuration's own."""

    source_id: str
    destination_id: str
    items: list[TimerItem]
    label: str
    sync_level: str | None
    flags: dict[str, bool]
    exclude: list[str]
    recursive_symlinks: str | None


def timer_document(settings: Settings, name: str, schedule: Schedule, options: TransferOptions) -> dict[str, Any]:
    """A transfer timer as POST /v2/timer takes it; every option is sent explicitly, as main.py does.

    Raises:
        UsageProblem: The label or the schedule is not possible.
    """
    label = options.label or name
    if len(label) > LONGEST_LABEL or label != label.strip() or any(mark in label for mark in "\r\n"):
        raise UsageProblem(
            "The label is not one that Globus takes",
            remedy=f"At most {LONGEST_LABEL} characters on one line, without blanks at its ends. Nothing was created.",
        )
    level = options.sync_level or settings.sync_level
    body = transfer_document(
        settings._replace(deadline_hours=0),  # a fixed moment makes no sense in what recurs
        sync_level=level,
        label=label,
        now_ns=0,
        has_folders=any(item.is_recursive for item in options.items),
    )
    body.update(options.flags)
    body["source_endpoint"], body["destination_endpoint"] = options.source_id, options.destination_id
    if options.exclude:
        body["filter_rules"] = [*body.get("filter_rules", []), *map(_exclude_rule, options.exclude)]
    if options.recursive_symlinks is not None:
        body["recursive_symlinks"] = options.recursive_symlinks
    body["DATA"] = [
        {
            "DATA_TYPE": "transfer_item",
            "source_path": item.source_path,
            "destination_path": item.destination_path,
            "recursive": item.is_recursive,
        }
        for item in options.items
    ]
    return {"timer_type": "transfer", "name": name, "schedule": schedule.document(), "body": body}


def sync_level_name(text: str) -> str:
    """The name of a sync level given by name or by number.

    Raises:
        UsageProblem: There is no such level.
    """
    numbers = {str(number): name for name, number in SYNC_LEVELS.items()}
    name = numbers.get(text, text.lower())
    if name not in SYNC_LEVELS:
        known = ", ".join(f"{number} ({level})" for number, level in sorted(numbers.items()))
        raise UsageProblem(f"{text!r} is not a sync level", remedy=f"They are {known}.")
    return name


def _exclude_rule(pattern: str) -> dict[str, str]:
    return {"DATA_TYPE": "filter_rule", "method": "exclude", "name": pattern}


class Job(NamedTuple):
    """What a person wants to know of a timer, as text.

    Args:
        task_id: The transfer task of its last run, or "".
        last_result: What that run came to; `with_task` adds what the task itself came to.
        inactive: Why it does not run, and what mends it; "" when it does.
    """

    job_id: str
    name: str
    status: str
    start: str
    interval: str
    next_run: str
    last_result: str
    runs: str
    errors: str
    stop: str
    inactive: str
    task_id: str

    def with_task(self, task: Mapping[str, Any]) -> Job:
        """The job with the outcome of its last task, which the service's own result does not follow."""
        return self._replace(last_result=task_outcome(task))

    def rows(self) -> list[tuple[str, str]]:
        """Titles and values for a person."""
        rows = [
            ("Name", self.name),
            ("Job ID", self.job_id),
            ("Status", self.status),
            ("Start", self.start),
            ("Interval", self.interval),
            ("Next Run", self.next_run),
            ("Stop After", self.stop),
            ("Last Result", self.last_result),
            ("Last Task", self.task_id or NONE),
            ("Runs", self.runs),
            ("Errors", self.errors),
        ]
        return [*rows, ("Inactive", self.inactive)] if self.inactive else rows


def read_job(document: Mapping[str, Any]) -> Job:
    """What a timer's document, of either interface of the service, tells a person. Missing fields show as "-"."""
    schedule = document.get("schedule") or {}
    interval = schedule.get("interval_seconds", document.get("interval"))
    result = _last_result(document)
    job_id = str(document.get("job_id") or NONE)
    return Job(
        job_id=job_id,
        name=str(document.get("name") or "[unnamed]"),
        status=str(document.get("status") or NONE),
        start=str(schedule.get("start") or schedule.get("datetime") or document.get("start") or NONE),
        interval="once" if interval is None else duration(int(interval)),
        next_run=str(document.get("next_run") or NONE),
        last_result=_result_words(result),
        runs=str(document.get("n_runs", document.get("number_of_runs", NONE))),
        errors=str(document.get("n_errors", document.get("number_of_errors", NONE))),
        stop=_stop(document, schedule),
        inactive=_inactive(document, job_id),
        task_id=_task_id(result),
    )


def duration(seconds: int) -> str:
    """Seconds as a person writes them, and as `--interval` reads them: 1h30m, 7d."""
    parts = []
    for unit, length in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def task_outcome(task: Mapping[str, Any]) -> str:
    """What a transfer task came to, in one line."""
    status = str(task.get("status") or "unknown")
    if status == "SUCCEEDED":
        skipped = task.get("subtasks_skipped_errors") or 0
        copied = f"{task.get('files_transferred') or 0} files copied, {task.get('bytes_transferred') or 0} bytes"
        return f"SUCCEEDED: {copied}" + (f"; {skipped} PATHS SKIPPED because of errors" if skipped else "")
    if status == "FAILED":
        fatal = task.get("fatal_error") or {}
        return f"FAILED: {fatal.get('code') or 'no reason given'} {fatal.get('description') or ''}".rstrip()
    nice = task.get("nice_status")
    trouble = f": {nice}" if nice and not task.get("is_ok", True) else ""
    return f"{status}{trouble} (under way)"


def _last_result(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    results = document.get("results")
    rows = results.get("data") if isinstance(results, Mapping) else results
    return rows[0] if rows else None


def _result_words(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return "NOT RUN"
    status = result.get("status")
    if isinstance(status, int) and status < 400:
        return "SUBMITTED"
    errors = result.get("errors") or result.get("data")
    return f"FAILURE: HTTP {status or 'status missing'}" + (f", {errors}" if errors else "")


def _task_id(result: Mapping[str, Any] | None) -> str:
    data = (result or {}).get("data")
    details = data.get("details") if isinstance(data, Mapping) else None
    return str(details.get("task_id") or "") if isinstance(details, Mapping) else ""


def _stop(document: Mapping[str, Any], schedule: Mapping[str, Any]) -> str:
    end = schedule.get("end") or {}
    stop_after = document.get("stop_after") or {}
    runs = end.get("count") or end.get("iterations") or stop_after.get("n_runs")
    date = end.get("datetime") or stop_after.get("date")
    words = [f"{runs} run{'s' * (runs != 1)}"] if runs else []
    return ", ".join([*words, *([str(date)] if date else [])]) or "never"


def _inactive(document: Mapping[str, Any], job_id: str) -> str:
    reason = document.get("inactive_reason")
    if not reason:
        return ""
    if reason.get("cause") == "user":
        return f"paused by a person; `timer.py job resume {job_id}` lets it run again"
    detail = reason.get("detail") or {}
    parameters = detail.get("authorization_parameters") or {}
    words = parameters.get("session_message") or detail.get("code") or reason.get("cause")
    return f"{words}; `timer.py session login`, then `timer.py job resume {job_id}`, mends it"
