"""Renders timers as the two interfaces of the service write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emulator.clock import iso

from .scheduler import Result, Timer, Timers

_DEFAULT_PAGE = 10  # assumed


def timer_document(timer: Timer, timers: Timers) -> dict[str, Any]:
    """A timer as the second interface answers (recorded; that of a flow has the keys of both interfaces)."""
    document: dict[str, Any] = {
        **_common(timer, timers),
        "number_of_runs": timer.n_runs,
        "number_of_errors": timer.n_errors,
    }
    if timer.flow_id is None:
        return {**document, "body": timer.document}
    job = job_document(timer, timers, [])
    return {**job, **document, "flow_id": timer.flow_id, "body": timer.callback_body, "results": []}


def job_document(
    timer: Timer, timers: Timers, results: Sequence[Result] | None = None, page_next: str | None = None
) -> dict[str, Any]:
    """A timer as the first interface writes it (recorded), with what the OpenAPI description adds.

    Args:
        results: The page of results to show; the first one by default.
    """
    shown, following = first_page(timer) if results is None else (results, page_next)
    interval = timer.schedule.interval_seconds
    document = {
        **_common(timer, timers),
        "start": iso(timer.schedule.start),
        "interval": None if interval is None else float(interval),
        "stop_after": timer.schedule.stop_after(),
        "scope": timer.scope,
        "callback_url": timer.callback_url,
        "callback_body": timer.callback_body,
        "submitted_at": timer.submitted_at.isoformat(),
        "last_ran_at": None if timer.last_ran_at is None else timer.last_ran_at.isoformat(),
        "n_runs": timer.n_runs,
        "n_errors": timer.n_errors,
        "results": {"data": [_result(timer, result) for result in shown], "page_next": following},
    }
    return document if timer.flow_id is None else {**document, "flow_id": timer.flow_id}


def first_page(timer: Timer, size: int = _DEFAULT_PAGE, begin: int = 0) -> tuple[Sequence[Result], str | None]:
    """A page of results, newest first, and what names the next page (recorded as null; the form is assumed)."""
    end = begin + size
    return timer.results[begin:end], str(end) if end < len(timer.results) else None


def timer_state(timer: Timer, timers: Timers) -> dict[str, Any]:
    """A timer as tests want to see it: its job, whose it is, and the tasks it made."""
    owner = {"owner_id": timer.owner.identity_id, "client_id": timer.owner.client_id}
    return {**job_document(timer, timers), **owner, "task_ids": list(timer.task_ids)}


def _common(timer: Timer, timers: Timers) -> dict[str, Any]:
    return {
        "job_id": timer.job_id,
        "name": timer.name,
        "timer_type": timer.timer_type,
        "schedule": timer.schedule.document(),
        "status": timer.status,
        "submitted_at": iso(timer.submitted_at),
        "last_ran_at": iso(timer.last_ran_at),
        "next_run": iso(timer.next_run),
        "inactive_reason": timer.inactive_reason,
        "activity": _activity(timer, timers),
    }


def _activity(timer: Timer, timers: Timers) -> dict[str, Any] | None:
    """The activity of a timer (documented); null once it has ended."""
    if timer.status in ("deleted", "ended"):
        return None
    if timer.inactive_reason is not None:
        return {"code": "paused", "reason": timer.inactive_reason["cause"]}
    if timer.retrying_since is not None:
        return {"code": "retrying", "start_timestamp": iso(timer.retrying_since)}
    if timers.running_task(timer) is not None and timer.last_ran_at is not None:
        seconds = (timers.clock.now() - timer.last_ran_at).total_seconds()
        return {
            "code": "run_in_progress",
            "start_timestamp": iso(timer.last_ran_at),
            "duration_seconds": round(seconds, 3),
        }
    return {"code": "awaiting_next_run", "next_run": iso(timer.next_run)}


def _result(timer: Timer, result: Result) -> dict[str, Any]:
    """One run: data, errors, status and ran_at are recorded, the rest documented by name and assumed by value."""
    ran_at = result.ran_at.isoformat()
    wrapped: dict[str, Any] | None = None
    if result.details is not None:
        wrapped = {
            "action_id": result.action_id,
            "status": "ACTIVE",
            "display_status": "ACTIVE",
            "label": None,
            "creator_id": f"urn:globus:auth:identity:{timer.owner.identity_id}",
            "start_time": ran_at,
            "completion_time": ran_at,  # recorded with a value although the task is active
            "release_after": "P30D",
            "manage_by": [],
            "monitor_by": [],
            "details": result.details,
        }
    return {
        "ran_at": result.ran_at.replace(tzinfo=None).isoformat(),  # recorded without a time zone
        "status": result.status,
        "errors": result.errors,
        "data": wrapped,
        "run_status": "submitted" if result.errors is None else "failed",
        "resource_id": None if result.details is None else result.details["task_id"],
        "start_timestamp": ran_at,
        "end_timestamp": None,
        "next_check_timestamp": None,
        "last_check_timestamp": None,
        "http_status_submission": result.status,
        "http_status_polled": None,
    }
