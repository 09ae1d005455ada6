"""The facts and the verdict as one JSON object, with stable names; the README's section on status.py lists them. Pure.

Names that end in `_at` are moments in UTC (null: not known or never), in `_seconds`, `_bytes` and `_ns` numbers of that
unit.
"""

from __future__ import annotations

from typing import Any, Union

from autotransfer.common.settings import Settings
from autotransfer.common.times import utc_text
from autotransfer.common.version import SCHEMA
from autotransfer.datastore.evidence import WORDS
from autotransfer.datastore.tasks import AnyTask, Task
from autotransfer.status.folders import Amount
from autotransfer.status.path import FileAnswer, FolderAnswer
from autotransfer.status.state import Failure, State
from autotransfer.status.verdict import Verdict, progress, remedy, task_link

Json = dict[str, Any]


def moment(moment_ns: int) -> str | None:
    """The moment, or None for 0 and for what no calendar has."""
    try:
        return utc_text(moment_ns) if moment_ns else None
    except (ValueError, OverflowError, OSError):
        return None


def overview(settings: Settings, state: State, judged: Verdict) -> Json:
    """All that `status.py --json` prints, but for answers about paths."""
    total, run = state.records.total, state.last_run
    return {
        "schema": SCHEMA,
        "verdict": judged.kind,
        "headline": judged.headline,
        "status": int(judged.exit_status),
        "asked_at": moment(state.now_ns),
        "as_of_at": moment(judged.as_of_ns),
        "route": {name.lower(): value for name, value in settings.route.items()},
        "service": state.service,
        "delivered": _amount(judged.delivered),
        "evidence": dict(zip(WORDS, total.evidence)),
        "assumed_files": total.assumed_files,
        "in_flight": _amount(total.in_flight),
        "retrying": {
            **_amount(total.retrying),
            "failing_files": total.failing_files,
            "backing_off_files": total.backing_off_files,
        },
        "unsubmitted": _amount(judged.unsubmitted),
        "pending": _amount(judged.pending),
        "held_files": judged.held_files,
        "folders": state.records.folders,
        "last_delivered_at": moment(total.last_delivered_ns),
        "oldest_waiting_mtime_ns": total.oldest_ns or None,
        "findings": [
            {**finding._asdict(), "details": list(finding.details), "link": finding.link or None}
            for finding in judged.findings
        ],
        "last_run": None
        if run is None
        else {
            "started_at": moment(run.started_at_ns),
            "run_seconds": run.seconds,
            "status": run.status,
            "scan": run.scan,
            "full_scan_at": moment(run.full_scan_at_ns),
            "problem": run.problem or None,
            "counts": run.counts,
            "notices": [notice.text for notice in run.notices],
            "unlisted_notices": run.unlisted_notices,
        },
        "active_run": None
        if state.active is None
        else {"pid": state.active.pid, "started_at": moment(state.active.since_ns)},
        "next_run": {
            "expected_at": moment(judged.next_run.expected_at_ns),
            "interval_seconds": judged.next_run.interval_seconds or None,
            "is_late": judged.next_run.is_late,
        },
        "open_tasks": [task_document(task) for task in state.open_tasks],
        "bad_tasks": [task_document(task) for task in state.bad_tasks],
        "failures": [_failure(failure) for failure in state.records.failures],
        "delivered_by_day": [
            {"day": day.isoformat(), **_amount(amount)} for day, amount in sorted(state.records.by_day.items())
        ],
        "latency": dict(state.records.latency._asdict()),
    }


def task_document(task: AnyTask) -> Json:
    """One task; of one that ended long ago only the first fields are kept."""
    document: Json = {
        "number": task.number,
        "task_id": task.task_id or None,
        "state": task.state,
        "ended_at": moment(task.ended_at_ns),
        "link": task_link(task) or None,
    }
    if not isinstance(task, Task):
        return document
    come = progress(task)
    return {
        **document,
        "label": task.label,
        "sync_level": task.sync_level,
        "items": task.items,
        "files": task.files,
        "size_bytes": task.size_bytes,
        "submitted_at": moment(task.submitted_at_ns),
        "reason": task.reason or None,
        "delivered_files": task.arrived,
        "retrying_files": task.returned,
        "trouble": task.trouble or None,
        "progress": None
        if task.ended_at_ns
        else {
            "part": round(come.part, 4),
            "files": come.done_files,
            "size_bytes": come.done_bytes,
            "bytes_per_second": round(come.bytes_per_second, 1),
            "moved_at": moment(come.moved_at_ns),
        },
    }


def path_document(answered: Union[FileAnswer, FolderAnswer]) -> Json:
    """Where one path stands."""
    if isinstance(answered, FileAnswer):
        return _file(answered)
    return {
        "path": answered.rel_path,
        "kind": "folder",
        "is_delivered": answered.is_delivered,
        "is_safe": answered.is_safe,
        "is_on_disk": answered.is_on_disk,
        "delivered": _amount(answered.delivered),
        "evidence": answered.evidence,
        "weak": answered.weak,
        "in_flight": _amount(answered.in_flight),
        "unsent": _amount(answered.unsent),
        "held": answered.held,
        "vanished_files": answered.vanished_files,
        "skipped": answered.skipped,
        "errors": [{"path": path, "why": why} for path, why in answered.errors],
        "error_count": answered.error_count,
        "last_delivered_at": moment(answered.last_delivered_ns),
        "oldest_waiting_path": answered.oldest_path or None,
        "oldest_waiting_mtime_ns": answered.oldest_ns if answered.oldest_path else None,
        "tasks": [task_document(task) for task in answered.tasks],
    }


def _file(answered: FileAnswer) -> Json:
    seen, delivered, retry = answered.seen, answered.delivered, answered.retry
    return {
        "path": answered.rel_path,
        "kind": "file",
        "is_delivered": answered.is_delivered,
        "is_safe": answered.is_safe,
        "state": answered.state,
        "why": answered.why or None,
        "on_disk": None if seen is None else {"mtime_ns": seen[0], "size_bytes": seen[1]},
        "delivered": None
        if delivered is None
        else {
            "mtime_ns": delivered.mtime_ns,
            "size_bytes": delivered.size_bytes,
            "delivered_at": moment(delivered.transferred_at_ns),
            "evidence": WORDS[delivered.evidence],
        },
        "retry": None
        if retry is None
        else {"code": retry.code, "attempts": retry.attempts, "next_try_at": moment(retry.not_before_ns)},
        "task": None if answered.task is None else task_document(answered.task),
    }


def _amount(amount: Amount) -> Json:
    return {"files": amount.files, "size_bytes": amount.size_bytes}


def _failure(failure: Failure) -> Json:
    return {
        "code": failure.code,
        **_amount(failure.amount),
        "attempts": failure.attempts,
        "next_try_at": moment(failure.next_try_ns),
        "task_number": failure.task,
        "remedy": remedy(failure),
        "examples": list(failure.examples),
    }
