"""Makes and changes timers as requests ask for it. Field names are documented; texts of refusals are assumed."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from emulator.auth.state import Caller
from emulator.errors import InvalidTimer
from emulator.transfer.submission import Limits

from .bodies import TRANSFER_ACTION_URL, action_body, check_body, document_of_action, is_transfer_action
from .schedule import check_first_interface, check_interval, check_schedule, check_time, stop_after
from .scheduler import Timer, Timers

# What PATCH may change. The OpenAPI description of today has `name` alone; the service's former command line and
# documentation changed the rest as well. A setting of the world keeps to `name`: other fields are then ignored.
UPDATABLE = frozenset(
    {"name", "start", "interval", "stop_after", "stop_after_n", "callback_url", "callback_body", "scope"}
)
_SCHEDULE_FIELDS = {"start", "interval", "stop_after", "stop_after_n"}


def new_timer(request: object, caller: Caller, consent_id: int, now: datetime, limits: Limits) -> Timer:
    """The timer in a document for POST /v2/timer.

    Raises:
        InvalidTimer: What is wrong with the document.
    """
    body = request.get("timer") if isinstance(request, dict) else None
    where = ("body", "timer")
    if not isinstance(body, dict):
        raise InvalidTimer(where)
    kind = body.get("timer_type")
    if kind not in ("transfer", "flow"):
        raise InvalidTimer((*where, "timer_type"), "the timer_type is transfer or flow", "value_error")
    for name in ("schedule", "body", *(("flow_id",) if kind == "flow" else ())):
        if body.get(name) is None:
            raise InvalidTimer((*where, name))
    schedule = check_schedule(body["schedule"], now, (*where, "schedule"))
    common: dict[str, Any] = {
        "owner": caller,
        "consent_id": consent_id,
        "name": _text(body, "name", where),
        "timer_type": kind,
        "schedule": schedule,
        "submitted_at": now,
        "next_run": schedule.first_tick(now),
    }
    if kind == "transfer":
        document = check_body(body["body"], limits, (*where, "body"))
        return Timer(**common, callback_url=TRANSFER_ACTION_URL, callback_body=action_body(document), document=document)
    flow_id = _uuid(body["flow_id"], (*where, "flow_id"))
    if not isinstance(body["body"], dict) or not isinstance(body["body"].get("body"), dict):
        raise InvalidTimer((*where, "body", "body"), "value is not a valid dict", "type_error.dict")
    return Timer(
        **common,
        callback_url=f"https://flows.automate.globus.org/flows/{flow_id}/run",
        callback_body=body["body"],
        scope=f"https://auth.globus.org/scopes/{flow_id}/flow_{flow_id.replace('-', '_')}_user",
        flow_id=flow_id,
    )


def new_job(body: object, caller: Caller, consent_id: int, now: datetime) -> Timer:
    """The timer in a document for POST /jobs/; raises as `new_timer`."""
    if not isinstance(body, dict):
        raise InvalidTimer(("body",), "value is not a valid dict", "type_error.dict")
    missing = [name for name in ("start", "callback_url", "callback_body") if body.get(name) is None]
    if missing:
        refusal = InvalidTimer(("body", missing[0]))
        refusal.problems = [problem for name in missing for problem in InvalidTimer(("body", name)).problems]
        raise refusal
    url = _url(body["callback_url"])
    schedule = check_first_interface(body, now)
    return Timer(
        owner=caller,
        consent_id=consent_id,
        name=_text(body, "name", ("body",)),
        timer_type="transfer" if is_transfer_action(url) else "generic",  # assumed
        schedule=schedule,
        callback_url=url,
        callback_body=_dict(body["callback_body"]),
        submitted_at=now,
        next_run=schedule.first_tick(now),
        scope=_text(body, "scope", ("body",)),
    )


def change_timer(timers: Timers, timer: Timer, body: object, updatable: frozenset[str]) -> None:
    """Change what a PATCH names; other fields are ignored (assumed).

    Raises:
        InvalidTimer: What is wrong with it; nothing is changed then.
    """
    if not isinstance(body, dict):
        raise InvalidTimer(("body",), "value is not a valid dict", "type_error.dict")
    changes = {name: value for name, value in body.items() if name in updatable}
    schedule = _changed_schedule(timer, changes) if _SCHEDULE_FIELDS & changes.keys() else None
    name = _text(changes, "name", ("body",))
    scope = _text(changes, "scope", ("body",))
    url = _url(changes["callback_url"]) if "callback_url" in changes else timer.callback_url
    callback_body = _dict(changes["callback_body"]) if "callback_body" in changes else timer.callback_body
    if timer.document is not None and {"callback_url", "callback_body"} & changes.keys():
        timer.document = document_of_action(callback_body) if is_transfer_action(url) else None
    timer.name = name if "name" in changes else timer.name
    timer.scope = scope if "scope" in changes else timer.scope
    timer.callback_url, timer.callback_body = url, callback_body
    if schedule is not None:
        timers.reschedule(timer, schedule)
    timer.is_updated = True


def _changed_schedule(timer: Timer, changes: Mapping[str, Any]) -> Any:
    schedule = timer.schedule
    if changes.get("interval") is not None:
        interval_seconds = check_interval(changes["interval"], ("body", "interval"))
        schedule = dataclasses.replace(schedule, interval_seconds=interval_seconds)
    if changes.get("start") is not None:
        schedule = dataclasses.replace(schedule, start=check_time(changes["start"], ("body", "start")))
    if "stop_after" in changes or "stop_after_n" in changes:
        end_at, end_runs = stop_after(changes)
        schedule = dataclasses.replace(schedule, end_at=end_at, end_runs=end_runs)
    return schedule


def _text(body: Mapping[str, Any], name: str, where: tuple[str, ...]) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidTimer((*where, name), "str type expected", "type_error.str")
    return value


def _url(value: object) -> str:
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise InvalidTimer(("body", "callback_url"), "invalid or missing URL scheme", "value_error.url.scheme")
    return value


def _dict(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidTimer(("body", "callback_body"), "value is not a valid dict", "type_error.dict")
    return value


def _uuid(value: object, where: tuple[str, ...]) -> str:
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        raise InvalidTimer(where, "value is not a valid uuid", "type_error.uuid") from None
