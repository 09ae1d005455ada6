"""A rate limit is about all requests: the run stops asking and ends with 6. Against the second service."""

from __future__ import annotations

import pytest
from small_globus import SmallGlobus
from suite import Route

REFUSAL = {"code": "ClientError.Conflict.TooManyPendingJobs", "message": "Too many", "request_id": "small"}


@pytest.mark.parametrize("what", ["task", "list"])
def test_a_run_that_is_asked_for_fewer_requests_stops_asking(there: Route, service: SmallGlobus, what: str) -> None:
    service.is_held = True
    for name in ("a", "b"):
        there.write(name)
        there.run_here("main.py")
    assert len(service.tasks) == 2
    there.write("c")
    service.is_held = False
    if what == "list":  # what the counts prove needs no list
        service.after = lambda task: task.document.update(files=None, files_transferred=None)
    end = "successful_transfers" if what == "list" else ""
    service.answer = lambda method, path, query, body: (
        (409, REFUSAL) if "/task/" in path and path.endswith(end) else None
    )
    service.requests.clear()

    there.run_here("main.py", status=6)

    asked = [request for request in service.requests if "/task/" in request]
    assert len(asked) == (2 if what == "list" else 1)
    assert len(service.tasks) == 2

    service.answer = lambda method, path, query, body: None
    service.after = lambda task: None
    there.deliver_here()
    there.deliver_here()
    assert there.tree(there.dst) == there.tree()


def test_too_many_pending_tasks_end_the_submissions(there: Route, service: SmallGlobus) -> None:
    there.write("a")
    service.answer = lambda method, path, query, body: (409, REFUSAL) if path.endswith("/transfer") else None

    run = there.run_here("main.py", status=6)

    assert "Globus asks for fewer requests or fewer pending tasks." in run.stderr
    service.answer = lambda method, path, query, body: None
    there.deliver_here()
    assert there.tree(there.dst) == there.tree()
