"""Tasks that Globus does not show: their paths are sent again, but never while such a task may still be running.

Against the second service (support/small_globus.py), so that client and emulator cannot share a mistake.
"""

from __future__ import annotations

from typing import Any

import pytest
from evidence_kept import recorded, recorded_text
from faulty import FaultCheck
from small_globus import CHECKSUM, SmallGlobus
from suite import Route, let_time_pass

HELD = "It carries 1 path, to be retried by checksum if Globus does not show it for 24 hours, nor lists a task of its"
OTHER = "It may belong to another identity than the one now signed in."
CANCELED = "task/{}/cancel"


def error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": "small", "resource": "/task"}


def answering(name: str, status: int, body: Any, *, words: str) -> Any:
    """A parameter set with its row: how Globus answers instead of showing the task."""
    doing = "showed another document than that of" if status == 200 else "did not show"
    sees = f"Globus {doing} task ... {words} ... {HELD} label."
    return pytest.param(
        (status, body), id=name, marks=pytest.mark.fault(name, sees=sees, status=3, recorded="a in flight")
    )


def one_file_away(there: Route, service: SmallGlobus) -> str:
    """Submit a file, which Globus copies when it is next asked; returns the task_id."""
    there.write("a")
    there.run_here("main.py")
    return service.newest.task_id


def refuse(service: SmallGlobus, answer: tuple[int, Any]) -> None:
    """Answer so whatever is asked about a task by its task_id."""
    service.answer = lambda method, path, query, body: answer if path.startswith("/v0.10/task/") else None


@pytest.mark.parametrize(
    "answer",
    [
        answering(
            "a task is unknown to the service: 404 ClientError.NotFound",
            404,
            error("ClientError.NotFound", "No task found with id 'x'"),
            words=f"No task found with id 'x' (HTTP 404, code ClientError.NotFound, request_id small). {OTHER}",
        ),
        answering(
            "a task is unknown to the service: 404 TaskNotFound",
            404,
            error("TaskNotFound", "No task with id 'x'"),
            words=f"No task with id 'x' (HTTP 404, code TaskNotFound, request_id small). {OTHER}",
        ),
        answering(
            "a task is gone: 410",
            410,
            error("Gone", "Its history was deleted"),
            words="Its history was deleted",
        ),
        answering(
            "a task is answered with 404 in HTML",
            404,
            b"<h1>Not found</h1>",
            words="Not Found (HTTP 404)",
        ),
        answering(
            "a task of another identity: 403 with another code",
            403,
            error("ClientError.Forbidden", "Not your task"),
            words=f"Not your task (HTTP 403, code ClientError.Forbidden, request_id small). {OTHER}",
        ),
        answering(
            "a task is answered with 500 for ever",
            500,
            error("InternalError", "Oh."),
            words="Oh. (HTTP 500, code InternalError",
        ),
        answering(
            "a task is answered with the document of another",
            200,
            {"task_id": "8d11ce2e-2b1c-4b8c-9b1a-6f6f4b3a9f3e", "status": "SUCCEEDED"},
            words="",
        ),
    ],
)
def test_a_task_that_is_not_shown_is_lost_after_a_day_of_such_answers(
    there: Route, service: SmallGlobus, fault: FaultCheck, answer: tuple[int, Any]
) -> None:
    task_id = one_file_away(there, service)
    let_time_pass(there, hours=1)
    refuse(service, answer)
    service.tasks.clear()  # it is listed no more, either

    first = there.run("main.py", status=None)
    fault.check(first, recorded_text(there))
    let_time_pass(there, hours=23.9)
    there.run_here("main.py", status=3)
    held = list(service.requests)
    let_time_pass(there, hours=0.2)
    there.run_here("main.py", status=3)
    asked = service.requests[len(held) :]

    assert not any(each.endswith("/cancel") for each in held)
    assert f"POST /v0.10/{CANCELED.format(task_id)}" in asked
    assert recorded(there) == {"a": "in flight"}

    there.run_here("main.py", status=3, says="is no longer known to Globus")
    service.answer = lambda *request: None
    assert service.newest.posted["sync_level"] == CHECKSUM
    there.deliver_here()
    assert len(service.tasks) == 1
    assert recorded(there) == {"a": "verified"}


def test_a_task_that_is_unknown_right_after_its_submission_is_no_trouble(there: Route, service: SmallGlobus) -> None:
    one_file_away(there, service)
    refuse(service, (404, error("ClientError.NotFound", "No task found")))

    early = there.run_here("main.py")
    service.answer = lambda *request: None
    there.deliver_here()

    assert early.stderr == ""
    assert len(service.tasks) == 1
    assert recorded(there) == {"a": "verified"}


def test_refusals_that_pass_begin_to_be_counted_anew(there: Route, service: SmallGlobus) -> None:
    service.is_held = True
    one_file_away(there, service)
    for _ in range(3):
        let_time_pass(there, hours=20)
        refuse(service, (403, error("PermissionDenied", "No")))
        there.run_here("main.py", status=3)
        service.answer = lambda *request: None
        there.run_here("main.py")
    service.is_held = False
    there.deliver_here()

    assert len(service.tasks) == 1
    assert not any(each.endswith("/cancel") for each in service.requests)


def test_a_task_that_is_listed_under_its_label_is_not_lost(there: Route, service: SmallGlobus) -> None:
    """Its list has its document; what it carries is credited from that."""
    one_file_away(there, service)
    let_time_pass(there, hours=1)
    task = service.newest

    def only_listed(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        is_asked = path == f"/v0.10/task/{task.task_id}"
        return (404, error("ClientError.NotFound", "No task found")) if is_asked else None

    service.answer = only_listed
    there.run_here("main.py", status=3)
    let_time_pass(there, hours=25)
    service.is_held = True
    there.run_here("main.py")
    service.is_held = False
    service._task([task.task_id], {})  # it ends
    there.run_here("main.py", status=3)
    let_time_pass(there, hours=25)
    there.run_here("main.py")

    assert len(service.tasks) == 1
    assert recorded(there) == {"a": "verified"}


def test_a_task_that_demands_a_session_asks_for_a_sign_in_and_stays(there: Route, service: SmallGlobus) -> None:
    one_file_away(there, service)
    let_time_pass(there, hours=48)
    demand = {"session_message": "Sign in anew", "session_required_mfa": True}
    refuse(service, (403, {**error("PermissionDenied", "No"), "authorization_parameters": demand}))

    for _ in range(3):
        there.run_here("main.py", status=4)
        let_time_pass(there, hours=48)

    assert recorded(there) == {"a": "in flight"}
    assert len(service.tasks) == 1


@pytest.mark.parametrize("task_id", [None, "", "not a UUID", 7], ids=repr)
def test_an_accepted_task_without_a_usable_task_id_is_found_under_its_label(
    there: Route, service: SmallGlobus, task_id: object
) -> None:
    def accept(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if path != "/v0.10/transfer":
            return None
        status, document = service._accept(body)
        return status, {**document, "task_id": task_id}

    service.answer = accept
    there.write("a")
    there.deliver_here()

    assert len(service.tasks) == 1
    assert recorded(there) == {"a": "verified"}


@pytest.mark.fault(
    "an accepted task has the task_id of another",
    sees="Globus accepted task ... with the task_id of an earlier task: it is ... If a proxy answers in the place of "
    "Globus, it must not cache. It is recorded; the next run will submit it again with the same submission_id",
    status=6,
    recorded="a verified, b in flight",
)
def test_a_task_id_is_believed_once(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    """By their counts alone, both would be delivered when the first is."""
    there.write("a")
    there.deliver_here()
    earlier = service.newest.task_id

    def from_a_cache(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if path != "/v0.10/transfer":
            return None
        status, document = service._accept(body)
        return status, {**document, "code": "Accepted", "task_id": earlier}

    service.answer = from_a_cache
    there.write("b")
    fault.check(there.run("main.py", status=None), recorded_text(there))
    service.answer = lambda *request: None
    there.deliver_here()

    assert len(service.tasks) == 2
    assert recorded(there) == {"a": "verified", "b": "verified"}


def test_a_task_id_in_capitals_is_the_same_task_id(there: Route, service: SmallGlobus) -> None:
    def shout(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if path == "/v0.10/transfer":
            status, document = service._accept(body)
            return status, {**document, "task_id": document["task_id"].upper()}
        words = path.split("/")
        if words[2:3] == ["task"] and len(words) == 4:
            status, document = service._task(words[3:], query)
            return status, {**document, "task_id": document["task_id"].upper()}
        return None

    service.answer = shout
    there.write("a")
    there.deliver_here()

    assert len(service.tasks) == 1
    assert recorded(there) == {"a": "verified"}


def test_an_accepted_task_that_no_list_has_stays_prepared_under_its_submission_id(
    there: Route, service: SmallGlobus
) -> None:
    def nothing_usable(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if path == "/v0.10/task_list":
            return 200, {"DATA_TYPE": "task_list", "offset": 0, "limit": 1000, "length": 0, "total": 0, "DATA": []}
        if path != "/v0.10/transfer":
            return None
        status, document = service._accept(body)
        return status, {**document, "task_id": None}

    service.answer = nothing_usable
    there.write("a")
    there.run_here("main.py", status=6, says="without a task_id")
    there.run_here("main.py", status=6)
    service.answer = lambda *request: None
    there.deliver_here()

    assert len(service.tasks) == 1
    assert recorded(there) == {"a": "verified"}
