"""Globus Transfer over HTTP: submission and tasks."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request

from emulator.auth.state import Caller
from emulator.errors import TransferRefusal, bad_request
from emulator.transfer import documents
from emulator.transfer.filters import ordered, parse_filter
from emulator.transfer.submission import check_deadline, check_delete, check_label, check_transfer
from emulator.transfer.task import Event, Task
from emulator.world import World

from .requests import bearer, json_body, json_response, number, page

_TASK_FILTERS = {
    "task_id": "exact",
    "status": "exact",
    "type": "exact",
    "label": "pattern",
    "request_time": "time",
    "completion_time": "time",
}


def transfer_blueprint(world: World) -> Blueprint:
    """The routes below /v0.10 that are about tasks."""
    routes = Blueprint("transfer", __name__, url_prefix="/v0.10")

    def caller() -> Caller:
        return world.transfer_caller(bearer())

    def render(task: Task) -> dict[str, Any]:
        document = documents.task_document(task, world.queue, world.auth, world.clock)
        return document if task.is_open else world.odd_lists.document(task.task_id, document)

    @routes.get("/submission_id")
    def submission_id() -> Response:
        caller()
        return json_response({"DATA_TYPE": "submission_id", "value": str(uuid.uuid4())})

    @routes.post("/transfer")
    def transfer() -> Response:
        return _submit(world, check_transfer, caller())

    @routes.post("/delete")
    def delete() -> Response:
        return _submit(world, check_delete, caller())

    @routes.get("/task/<task_id>")
    def task(task_id: str) -> Response:
        return json_response(_chosen_fields(render(world.poll(task_id, caller()))))

    @routes.put("/task/<task_id>")
    def update(task_id: str) -> Response:
        return json_response(_update(world.queue.find(task_id, caller().identity_id), json_body()))

    @routes.get("/task_list")
    def task_list() -> Response:
        return json_response(_task_list(world, caller(), render))

    @routes.post("/task/<task_id>/cancel")
    def cancel(task_id: str) -> Response:
        found = world.queue.find(task_id, caller().identity_id)
        code, message = "Canceled", "The task has been cancelled successfully."  # recorded
        if not world.queue.cancel(found):
            code, message = "TaskComplete", "The task completed before the cancel request was processed."  # observed
        world.advance()
        return json_response(documents.result("result", code, message, f"/task/{task_id}/cancel"))

    @routes.get("/task/<task_id>/event_list")
    def event_list(task_id: str) -> Response:
        events: list[Event] = list(reversed(world.queue.find(task_id, caller().identity_id).events))
        if request.args.get("filter"):
            wanted = parse_filter(request.args["filter"], {"is_error": "flag", "code": "exact"})
            events = [event for event in events if wanted(event._asdict())]
        return json_response(page("event_list", events, documents.event_document))

    @routes.get("/task/<task_id>/successful_transfers")
    def successful_transfers(task_id: str) -> Response:
        found = world.queue.find(task_id, caller().identity_id)
        if found.is_open:
            message = f"Task '{task_id}' is still in progress, successful transfers are not yet available"  # observed
            raise bad_request(message, "ClientError.BadRequest")
        indices = range(len(found.arrivals))
        return json_response(
            _list_page(
                world, found, "successful_transfers", indices, lambda index: documents.arrival_document(found, index)
            )
        )

    @routes.get("/task/<task_id>/skipped_errors")
    def skipped_errors(task_id: str) -> Response:
        found = world.queue.find(task_id, caller().identity_id)
        return json_response(_list_page(world, found, "skipped_errors", found.skipped, documents.skipped_document))

    @routes.get("/task/<task_id>/pause_info")
    def pause_info(task_id: str) -> Response:
        found = world.queue.find(task_id, caller().identity_id)
        return json_response(documents.pause_info_document(found, world.queue, world.clock))

    return routes


def _submit(world: World, check: Any, caller: Caller) -> Response:
    world.limits.check_bytes(request.content_length or 0)
    task, is_new = world.submit(check(json_body(), world.limits), caller)
    return json_response(documents.submission_result(task, is_new=is_new), 202 if is_new else 200)


def _update(task: Task, body: Any) -> dict[str, Any]:
    """Change label and deadline of an open task (observed; 409 for one that has ended)."""
    if not isinstance(body, dict) or body.get("DATA_TYPE") != "task":
        raise bad_request("DATA_TYPE must be 'task'")
    if not task.is_open:
        message = f"Task '{task.task_id}' has already completed and cannot be updated"
        raise TransferRefusal(409, "Conflict", message)
    changes: dict[str, Any] = {}
    for key, check in (("label", check_label), ("deadline", check_deadline)):
        if key in body:
            if body[key] is not None and not isinstance(body[key], str):
                raise bad_request(f"Field '{key}' must be a string")
            changes[key] = check(body[key])
    if isinstance(changes.get("deadline"), datetime):
        task.deadline = changes["deadline"]
    object_changes = {key: value for key, value in changes.items() if key == "label" or value is not None}
    task.submission = task.submission.changed(**object_changes)
    named = " and ".join(sorted(changes)) or "document"
    return documents.result("result", "Updated", f"Updated task {named} successfully", f"/task/{task.task_id}")


def _task_list(world: World, caller: Caller, render: Any) -> dict[str, Any]:
    wanted = parse_filter(request.args.get("filter", ""), _TASK_FILTERS)
    records = []
    for task in world.tasks.values():
        record = {
            "task": task,
            "task_id": task.task_id,
            "status": task.status,
            "type": task.kind,
            "label": task.label,
            "request_time": task.request_time,
            "completion_time": task.completion_time,
        }
        if task.owner_id == caller.identity_id and wanted(record):
            records.append(record)
    records.reverse()  # newest first where the order leaves it open
    orderby = request.args.get("orderby") or "request_time DESC"
    in_order = ordered(records, orderby, [*_TASK_FILTERS])

    def show(record: Any) -> dict[str, Any]:
        task = record["task"]
        world.queue.poll(task)
        return _chosen_fields(render(task))

    return page("task_list", in_order, show)


def _chosen_fields(document: dict[str, Any]) -> dict[str, Any]:
    """The document, cut down to the fields asked for."""
    fields = request.args.get("fields")
    if not fields:
        return document
    wanted = {"DATA_TYPE", *(name.strip() for name in fields.split(","))}
    return {key: value for key, value in document.items() if key in wanted}


def _list_page(world: World, task: Task, data_type: str, records: Any, render: Any) -> dict[str, Any]:
    """A page of a task's list; one that is shown oddly is made as a whole first."""
    if task.is_open or not world.odd_lists.is_odd(task.task_id):
        return _marker_page(world, data_type, records, render)
    rows = world.odd_lists.rows(task.task_id, [render(record) for record in records])
    return _marker_page(world, data_type, rows, lambda row: row)


def _marker_page(world: World, data_type: str, records: Any, render: Any) -> dict[str, Any]:
    """A page by marker; `next_marker` is null on the last one (recorded shape)."""
    marker = number("marker", 0)
    end = marker + world.page_size
    return {
        "DATA_TYPE": data_type,
        "marker": marker,
        "next_marker": end if end < len(records) else None,
        "DATA": [render(record) for record in records[marker:end]],
    }
