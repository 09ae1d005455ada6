"""Globus Timers over HTTP: POST /v2/timer makes transfer timers, everything else goes through /jobs/."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, request

from emulator.auth.state import Caller
from emulator.clock import parse_time
from emulator.errors import InvalidTimer, TimersRefusal, TransferRefusal
from emulator.timers.documents import first_page, job_document, timer_document
from emulator.timers.requests import change_timer, new_job, new_timer
from emulator.timers.schedule import check_time
from emulator.timers.scheduler import Timer
from emulator.world import World

from .requests import MAX_PAGE, bearer, json_body, json_response, number

_STATUSES = {"inactive": "inactive", "ended": "ended", "new": "active", "loaded": "active", "updated": "active"}


def timer_blueprint(world: World) -> Blueprint:
    """The routes of the Timers service."""
    routes = Blueprint("timers", __name__)
    timers = world.timers

    def caller() -> Caller:
        return world.timers_caller(bearer())

    def mine(job_id: str, *, is_deleted_shown: bool = False) -> Timer:
        try:
            job_id = str(uuid.UUID(job_id))
        except ValueError:
            raise InvalidTimer(("path", "job_id"), "value is not a valid uuid", "type_error.uuid") from None
        return timers.find(job_id, caller().identity_id, is_deleted_shown=is_deleted_shown)

    @routes.post("/v2/timer")
    def create() -> Response:
        who = caller()
        world.limits.check_bytes(request.content_length or 0)
        timer = new_timer(json_body(), who, timers.credentials(who), world.clock.now(), world.limits)
        world.add_timer(timer)
        reply = json_response({"timer": timer_document(timer, timers)}, 201)
        world.advance()  # a first run that is due comes after the answer, without waiting for the next request
        return reply

    @routes.post("/jobs/")
    def submit() -> Response:
        who = caller()
        world.limits.check_bytes(request.content_length or 0)
        timer = new_job(json_body(), who, timers.credentials(who), world.clock.now())
        world.add_timer(timer)
        reply = json_response(job_document(timer, timers), 201)
        world.advance()
        return reply

    @routes.get("/jobs/")
    def list_jobs() -> Response:
        found = _selected(timers.of(caller().identity_id))
        count = number("result_count", 10, least=1, most=MAX_PAGE)
        jobs = [job_document(timer, timers, *first_page(timer, count)) for timer in found]
        return json_response({"jobs": _ordered(jobs, request.args.get("order", "submitted_at asc"))})

    @routes.get("/jobs/<job_id>")
    def read(job_id: str) -> Response:
        timer = mine(job_id, is_deleted_shown=True)
        page = first_page(timer, number("page_size", 10, least=1, most=MAX_PAGE), number("results_pt", 0))
        return json_response(job_document(timer, timers, *page))

    @routes.patch("/jobs/<job_id>")
    def update(job_id: str) -> Response:
        timer = mine(job_id)
        change_timer(timers, timer, json_body(), world.updatable_timer_fields)
        return json_response(job_document(timer, timers))

    @routes.delete("/jobs/<job_id>")
    def delete(job_id: str) -> Response:
        timer = mine(job_id)
        timers.delete(timer)
        return json_response(job_document(timer, timers))

    @routes.post("/jobs/<job_id>/pause")
    def pause(job_id: str) -> Response:
        timer = mine(job_id)
        timers.pause(timer)
        return json_response({"message": f"Successfully paused job {timer.job_id}."})  # recorded

    @routes.post("/jobs/<job_id>/resume")
    def resume(job_id: str) -> Response:
        timer = mine(job_id)
        timers.resume(timer, caller(), update_credentials=_update_credentials())
        world.advance()
        return json_response({"message": f"Successfully resumed job {timer.job_id}."})  # recorded

    @routes.errorhandler(TransferRefusal)
    def refuse(refusal: TransferRefusal) -> Response:
        """The refusals of other modules, which are in Transfer's form, in the form of this service (assumed)."""
        code = refusal.code if refusal.extra else "ERROR"
        translated = TimersRefusal(refusal.status, refusal.message, code, **refusal.extra)
        return json_response(translated.body(request.path), translated.status)

    return routes


def _update_credentials() -> bool | None:
    """Whether resuming replaces credentials: in the query (documented) or in the body (what the SDK sends)."""
    given = request.args.get("update_credentials")
    if given is not None:
        return given.lower() in ("1", "true", "yes", "on")
    body = json_body()
    value = body.get("update_credentials") if isinstance(body, dict) else None
    if value is not None and not isinstance(value, bool):
        raise InvalidTimer(("body", "update_credentials"), "value could not be parsed to a boolean", "type_error.bool")
    return value


def _selected(found: list[Timer]) -> list[Timer]:
    """The timers a list asks for. `show_deleted` is ours: the service documents no way to list deleted ones."""
    args = request.args
    wanted = {word.strip() for word in args.get("filter_status", "active,inactive,ended").split(",")}
    if not wanted <= {"active", "inactive", "ended"}:
        raise InvalidTimer(("query", "filter_status"), "statuses are active, inactive and ended", "value_error")
    for name, status in (("filter_active", "active"), ("filter_stopped", "ended")):  # deprecated
        if _is_yes(args.get(name)):
            wanted = {status}
    if _is_yes(args.get("show_deleted")):
        wanted.add("deleted")
    part = args.get("filter_name", "").lower()
    after = check_time(args["submitted_after"], ("query", "submitted_after")) if "submitted_after" in args else None
    before = check_time(args["submitted_before"], ("query", "submitted_before")) if "submitted_before" in args else None
    return [
        timer
        for timer in found
        if _STATUSES.get(timer.status, timer.status) in wanted
        and part in (timer.name or "").lower()
        and (after is None or timer.submitted_at > after)
        and (before is None or timer.submitted_at < before)
    ]


def _is_yes(value: str | None) -> bool:
    return value is not None and value.lower() in ("1", "true")


def _ordered(jobs: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    """The jobs by `FIELD [asc|desc]` (documented); nulls come first (assumed)."""
    field, _, direction = order.strip().partition(" ")
    sortable = ("job_id", "name", "start", "interval", "status", "submitted_at", "last_ran_at", "next_run")
    if field not in (*sortable, "n_runs", "n_errors") or direction.lower() not in ("", "asc", "desc"):
        raise InvalidTimer(("query", "order"), "the order is FIELD [asc|desc]", "value_error")

    def key(job: dict[str, Any]) -> Any:
        value = job[field]
        if value is not None and field in ("start", "submitted_at", "last_ran_at", "next_run"):
            value = parse_time(value)
        return (value is not None, value)

    return sorted(jobs, key=key, reverse=direction.lower() == "desc")
