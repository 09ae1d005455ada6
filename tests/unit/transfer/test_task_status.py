"""What Globus's documents mean for a task, and how long a path rests after failed tries."""

from __future__ import annotations

from typing import Any

import pytest

from autotransfer.datastore.tasks import CANCELED, EXPIRED, FAILED, PREPARED, SUBMITTED, SUCCEEDED, Ledger, Task
from autotransfer.transfer.task_status import RUNNING, STUCK, UNKNOWN, label_for, pause_ns, task_status

NS = 10**9
HOUR_NS = 3600 * NS
START_NS = 1_700_000_000 * NS


def task(**fields: Any) -> Task:
    prepared = Task(3, "sub", "label", "mtime", {"a": 1}, "/s", "/d", 5, 50, 2, START_NS)
    return prepared.accepted("id", now_ns=START_NS)._replace(**fields)


def status_on(document: dict[str, Any], *, hours: float = 0, **fields: Any) -> Any:
    return task_status(task(**fields), document, now_ns=START_NS + int(hours * HOUR_NS), stuck_hours=24)


def test_success_counts_what_was_skipped() -> None:
    for skipped in (0, 3):
        status = status_on({"status": "SUCCEEDED", "subtasks_skipped_errors": skipped})
        assert (status.state, status.counts.errors) == (SUCCEEDED, skipped)


@pytest.mark.parametrize("document", [{}, {"subtasks_skipped_errors": None}])
def test_a_success_that_does_not_say_what_it_skipped_is_not_taken_for_complete(document: dict[str, Any]) -> None:
    assert status_on({"status": "SUCCEEDED", **document}).counts.errors == UNKNOWN


@pytest.mark.parametrize(
    ("fatal_error", "state", "reason"),
    [
        ({"code": "CANCELED", "description": "canceled"}, CANCELED, "CANCELED: canceled"),
        ({"code": "EXPIRED", "description": "expired"}, EXPIRED, "EXPIRED: expired"),
        ({"code": "QUOTA_EXCEEDED", "description": None}, FAILED, "QUOTA_EXCEEDED"),
        ({"code": None, "description": "odd"}, FAILED, "odd"),
        ({}, FAILED, "no reason given"),
        (None, FAILED, "no reason given"),
    ],
)
def test_failure_says_why_in_globus_words(fatal_error: Any, state: str, reason: str) -> None:
    status = status_on({"status": "FAILED", "fatal_error": fatal_error})

    assert (status.state, status.reason) == (state, reason)


def test_what_an_administrator_canceled_says_so() -> None:
    document = {"status": "FAILED", "canceled_by_admin": "SOURCE", "canceled_by_admin_message": "maintenance"}

    status = status_on(document)

    assert (status.state, status.reason) == (CANCELED, "no reason given (maintenance)")


@pytest.mark.parametrize("status", ["DONE", "succeeded", "", None, 5])
def test_a_status_that_is_not_known_is_never_taken_for_an_end(status: Any) -> None:
    found = status_on({"status": status}, hours=1000)

    assert found.state == RUNNING
    assert repr(status) in found.trouble


@pytest.mark.parametrize("nice", ["OK", "Queued", None, ""])
def test_a_task_that_gets_on_is_no_trouble(nice: str | None) -> None:
    status = status_on({"status": "ACTIVE", "nice_status": nice, "is_ok": None}, hours=100)

    assert (status.state, status.trouble) == (RUNNING, "")


def faulting(**fields: Any) -> dict[str, Any]:
    described = {"nice_status": "QUOTA_EXCEEDED", "nice_status_short_description": "disk full", "faults": 7}
    return {"status": "ACTIVE", "is_ok": False, **described, **fields}


def test_a_task_that_faults_is_stuck_after_its_hours_without_progress() -> None:
    progress = status_on(faulting(bytes_transferred=10)).progress

    assert status_on(faulting()).trouble == "QUOTA_EXCEEDED: disk full (7 faults so far)"
    assert status_on(faulting(bytes_transferred=10), hours=23.9, progress=progress).state == RUNNING
    assert status_on(faulting(bytes_transferred=10), hours=24, progress=progress).state == STUCK
    assert status_on(faulting(bytes_transferred=11), hours=24, progress=progress).state == RUNNING


@pytest.mark.parametrize("document", [faulting(is_paused=True), {**faulting(), "status": "INACTIVE"}])
def test_what_waits_for_a_person_is_reported_and_never_canceled(document: dict[str, Any]) -> None:
    status = status_on(document, hours=1000, progress=status_on(document).progress)

    assert status.state == RUNNING
    assert status.trouble


def test_pauses_double_from_five_minutes_up_to_a_day() -> None:
    minutes = [pause_ns(attempts) // (60 * NS) for attempts in range(12)]

    assert minutes == [0, 0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440]
    assert pause_ns(10**9) == 24 * HOUR_NS


def test_a_label_keeps_the_rules_of_labels() -> None:
    label = label_for("x" * 90, 10**9, "0f8fad5b-d9cb", now_ns=START_NS)

    assert label_for("beamline", 7, "0f8fad5b-d9cb", now_ns=START_NS) == "beamline 7 2023-11-14T221320 0f8fad5b"
    assert len(label) <= 128
    assert not set(label) & set(",/:\r\n")


def test_a_ledger_survives_the_shelf() -> None:
    ledger = Ledger({3: task(), 4: task(number=4, state=PREPARED, progress=(1, 2))}, 5)

    assert Ledger.from_builtins(ledger.as_builtins()) == ledger
    assert Ledger.from_builtins(None) == Ledger({}, 1)


def test_an_ended_task_keeps_its_history_and_not_its_document() -> None:
    ended = task(trouble="x").ended(FAILED, now_ns=START_NS + 1, reason="why", arrived=3, returned=2)

    assert (ended.state, ended.reason, ended.arrived, ended.returned) == (FAILED, "why", 3, 2)
    assert (ended.document, ended.trouble, ended.task_id, ended.ended_at_ns) == ({}, "", "id", START_NS + 1)
    assert task().state == SUBMITTED
