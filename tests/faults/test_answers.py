"""Odd answers about one task, and lists that never end: contained, while all else goes on.

Against the second service (support/small_globus.py), so that client and emulator cannot share a mistake.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Optional

import pytest
from evidence_kept import recorded, recorded_text
from faulty import FaultCheck
from small_globus import Answer, SmallGlobus, SmallTask
from stored_login import store_login
from suite import Route

from autotransfer.transfer.task_status import task_status

HALF = "\udcff"
DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
NOT_UNDERSTOOD = "Globus did not show task ... in words that can be understood"
UNLISTED = "ended, and Globus no longer lists what it transferred. Its 1 path will be retried, compared by checksum."


def assert_all_arrives(there: Route, service: SmallGlobus) -> None:
    """The service is well again: everything is there, byte for byte, and is known to be."""
    service.answer = lambda *request: None
    service.after = lambda task: None
    there.run_here("main.py", "--wait", "60", status=None)
    there.run_here("set_time.py", "never")  # no pause is waited for
    there.deliver_here()
    assert set(recorded(there).values()) <= {"verified", "equal"}
    assert there.tree(there.dst) == there.tree()


# ---- one odd document --------------------------------------------------------------------------------------------


def fields(**values: Any) -> Callable[[SmallTask], None]:
    """What the document says when the task has ended."""
    return lambda task: task.document.update(values)


def failed(fault: Any) -> Callable[[SmallTask], None]:
    return fields(status="FAILED", fatal_error=fault)


def row(name: str, change: Callable[[SmallTask], None], *, sees: str, status: int, recorded: str, wait: int = 0) -> Any:
    """A parameter set with its row."""
    mark = pytest.mark.fault(name, sees=sees, status=status, recorded=recorded)
    return pytest.param(change, wait, marks=mark, id=name)


@pytest.mark.parametrize(
    ("change", "wait"),
    [
        row(
            "bytes_transferred as text, with --wait",
            fields(status="ACTIVE", bytes_transferred="1 kB"),
            sees="",
            status=8,
            recorded="new verified, odd in flight, other verified",
            wait=1,
        ),
        row(
            "true for the number of files that were copied",
            fields(files_transferred=True),
            sees="",
            status=0,
            recorded="new in flight, odd verified, other verified",
        ),
        row(
            "numbers with 400 digits, below zero, infinite and not a number",
            fields(files=10**400, files_transferred=-1, bytes_transferred=float("inf"), faults=float("nan")),
            sees="",
            status=0,
            recorded="new in flight, odd verified, other verified",
        ),
        row(
            "an end in the year 9999",
            fields(completion_time="9999-12-31T23:59:59+00:00", files=None),
            sees="",
            status=0,
            recorded="new in flight, odd verified, other verified",
        ),
        row(
            "half a character in the words of a failure",
            failed({"code": f"BAD{HALF}", "description": f"it {HALF}\x1b[31m broke"}),
            sees="ended failed (BAD\\xff: it \\xff\\x1b[31m broke): 1 of 1 path delivered",
            status=3,
            recorded="new in flight, odd verified, other verified",
        ),
        row(
            "a text where the fault of a failure is an object",
            failed("ENDPOINT_ERROR"),
            sees="ended failed (ENDPOINT_ERROR): 1 of 1 path delivered",
            status=3,
            recorded="new in flight, odd verified, other verified",
        ),
        row(
            "objects and arrays in the place of words",
            fields(status={"a": [1]}, nice_status=["x"], label={"b": 2}),
            sees="Globus showed another document than that of task ... It carries 1 path",
            status=3,
            recorded="new in flight, odd in flight, other verified",
        ),
    ],
)
def test_an_odd_document_concerns_one_task(
    there: Route, service: SmallGlobus, fault: FaultCheck, change: Callable[[SmallTask], None], wait: int
) -> None:
    two_tasks(there)
    odd = odd_task(service)
    service.after = lambda task: change(task) if task is odd else None
    there.write("new")
    options = ("--wait", str(wait)) if wait else ()

    fault.check(there.run("main.py", *options, status=None), recorded_text(there))
    there.run_here("status.py", status=None)
    odd.document.update(status="SUCCEEDED")
    assert_all_arrives(there, service)


def odd_task(service: SmallGlobus) -> SmallTask:
    """The task that carries the file `odd`."""
    return next(task for task in service.tasks.values() if task.posted["DATA"][0]["source_path"].endswith("/odd"))


def two_tasks(there: Route) -> None:
    """Submit the files `odd` and `other`, each in a task of its own."""
    there.configure(MAX_ITEMS_PER_TASK=1)
    for name in ("odd", "other"):
        there.write(name)
    there.summary_here()


def answer_for(task: SmallTask, ending: str, content: Any) -> Callable[..., Optional[Answer]]:
    """Answers requests about one task whose path ends so."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda method, path, query, posted: (200, body) if path.endswith(f"/{task.task_id}{ending}") else None


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        pytest.param(ending, content, marks=pytest.mark.fault(name, sees=sees, status=3, recorded=kept), id=name)
        for name, ending, content, sees, kept in (
            (
                "JSON nested a hundred thousand deep",
                "",
                DEEP,
                NOT_UNDERSTOOD,
                "new in flight, odd in flight, other verified",
            ),
            (
                "an array where the document of a task belongs",
                "",
                [1],
                NOT_UNDERSTOOD,
                "new in flight, odd in flight, other verified",
            ),
            (
                "a list of a task whose rows are no array",
                "/skipped_errors",
                {"DATA": "none", "next_marker": None},
                "Globus did not list the skipped_errors of task ... in words that can be understood",
                "new in flight, odd in flight, other verified",
            ),
            (
                "rows of skipped paths that are no objects",
                "/skipped_errors",
                {"DATA": [None, 5, {"source_path": 5, "error_code": ["X"]}], "next_marker": None},
                "did not send 1 path, and Globus no longer says which.",
                "new in flight, odd verified, other verified",
            ),
            (
                "half a character in a skipped path",
                "/skipped_errors",
                {"DATA": [{"source_path": f"/odd{HALF}", "error_code": HALF}], "next_marker": None},
                "did not send 1 path, and Globus no longer says which.",
                "new in flight, odd verified, other verified",
            ),
        )
    ],
)
def test_an_odd_answer_concerns_one_task(
    there: Route, service: SmallGlobus, fault: FaultCheck, ending: str, content: Any
) -> None:
    two_tasks(there)
    odd = odd_task(service)
    service.answer = answer_for(odd, ending, content)
    service.after = lambda task: task.document.update(subtasks_skipped_errors=int(task is odd))
    there.write("new")

    fault.check(there.run("main.py", status=None), recorded_text(there))
    there.run_here("status.py", status=None)
    assert_all_arrives(there, service)


@pytest.mark.fault(
    "an answer that is odd in a way that nobody has thought of",
    sees="What Globus says of Task ... cannot be understood: IndexError: odd. The other tasks were not affected. The "
    "next run asks again; if it says the same, please report it.",
    status=3,
    recorded="new in flight, odd in flight, other verified",
)
def test_what_nobody_has_thought_of_concerns_one_task(
    there: Route, service: SmallGlobus, fault: FaultCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_tasks(there)
    odd = odd_task(service)

    def read(task: Any, document: Any, **rest: Any) -> Any:
        if document["task_id"] == odd.task_id:
            raise IndexError("odd")
        return task_status(task, document, **rest)

    there.write("new")
    with monkeypatch.context() as patched:
        patched.setattr("autotransfer.transfer.reconcile.task_status", read)
        result = there.run_here("main.py", status=None)

    fault.check(result, recorded_text(there))
    assert_all_arrives(there, service)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(
            token,
            marks=pytest.mark.fault(
                f"an access token that is {words}, in the answer to a refresh token",
                sees="did not show the collection ... in words that can be understood ... Nothing was sent",
                status=6,
                recorded="",
            ),
            id=words,
        )
        for token, words in (("\x1b[31m\r\n", "an escape sequence"), ("\ud800", "half a character"), (5, "a number"))
    ],
)
def test_a_token_that_no_request_can_carry_is_not_kept(
    there: Route, service: SmallGlobus, fault: FaultCheck, token: Any
) -> None:
    store_login(there)
    there.write("a")

    def answer(method: str, path: str, query: dict[str, str], body: Any) -> Optional[Answer]:
        if not path.endswith("/token"):
            return None
        status, usual = service.usual(method, path, query, body)
        return status, {**usual, "access_token": token}

    service.answer = answer

    fault.check(there.run("main.py", status=None), recorded_text(there))
    assert_all_arrives(there, service)


@pytest.mark.fault(
    "a refusal whose demands have another form than Globus gives them",
    sees="did not show the collection ...: No (HTTP 403, code ClientError.Forbidden). Nothing was sent or recorded.",
    status=6,
    recorded="",
)
def test_a_refusal_whose_demands_have_another_form(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    there.write("a")
    refusal = {"code": "ClientError.Forbidden", "message": "No", "authorization_parameters": True, "request_id": None}
    service.answer = lambda method, path, query, body: (403, refusal) if "/endpoint/" in path else None

    fault.check(there.run("main.py", status=None), recorded_text(there))
    assert_all_arrives(there, service)


# ---- lists that make no progress ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "following",
    [
        pytest.param(
            following,
            marks=pytest.mark.fault(
                name, sees=UNLISTED, status=3, recorded="scan/a verified, scan/b retrying LIST_REFUSED"
            ),
            id=name,
        )
        for name, following in (
            ("a list whose marker never changes", lambda marker: "same"),
            ("a list whose marker alternates between two", lambda marker: "two" if marker == "one" else "one"),
            ("a list whose next marker is empty", lambda marker: ""),
            ("a list whose next marker is no text", lambda marker: [1]),
            ("a list whose pages are empty for ever", lambda marker: f"{marker}x"[-9:] + str(len(marker or ""))),
            ("a list that begins anew with each marker", lambda marker: str(int(marker or 0) + 1)),
        )
    ],
)
def test_a_list_that_makes_no_progress_ends(
    there: Route, service: SmallGlobus, fault: FaultCheck, following: Callable[[Optional[str]], Any]
) -> None:
    for name in "ab":
        there.write(f"scan/{name}")
    is_empty = "empty for ever" in fault.row.fault

    def answer(method: str, path: str, query: dict[str, str], body: Any) -> Optional[Answer]:
        if not path.endswith("/successful_transfers"):
            return None
        marker = query.get("marker")
        rows = [one for one in service.newest.successful if one["source_path"].endswith("/a")]
        return 200, {"DATA": [] if is_empty and marker else rows, "next_marker": following(marker)}

    service.answer = answer
    there.summary_here()
    ended = [there.run("main.py", status=None) for _ in range(2)]
    result = next((one for one in ended if one.stderr), ended[-1])

    fault.check(result, recorded_text(there).replace("in flight", "retrying LIST_REFUSED"))
    assert_all_arrives(there, service)


@pytest.mark.parametrize(
    "total",
    [
        pytest.param(
            total,
            marks=pytest.mark.fault(
                f"a lost answer to a submission, and a list of tasks with {words} as its total",
                sees="",
                status=0,
                recorded="a verified",
            ),
            id=words,
        )
        for total, words in ((0, "0"), (10**9, "a thousand million"), ("many", "a text"), (None, "null"))
    ],
)
def test_a_total_that_is_wrong(there: Route, service: SmallGlobus, fault: FaultCheck, total: Any) -> None:
    there.write("a")

    def accepted_and_lost(method: str, path: str, query: dict[str, str], body: Any) -> Optional[Answer]:
        if path.endswith("/transfer") and not service.tasks:
            service._accept(body)
            return 500, {"code": "InternalError", "message": "lost"}
        return (400, {"code": "BadRequest", "message": "no"}) if path.endswith("/transfer") else lists(path, query)

    def lists(path: str, query: dict[str, str]) -> Optional[Answer]:
        if not path.endswith("/task_list"):
            return None
        start = int(query.get("offset") or 0)
        documents = [task.document for task in service.tasks.values()][start : start + 1]
        return 200, {"DATA": documents, "total": total, "length": len(documents), "limit": 1, "offset": start}

    service.answer = accepted_and_lost
    there.run_here("main.py", status=6)
    result = there.run("main.py", status=None)

    fault.check(result, recorded_text(there))
    assert len(service.tasks) == 1
    assert_all_arrives(there, service)
