"""Timers as documents, and what the service's answers mean to a person: also those that no emulator gives."""

from __future__ import annotations

from typing import Any

import pytest

from autotransfer.common.errors import UsageProblem
from autotransfer.common.times import NS_PER_SECOND, parse_date_ns
from autotransfer.timers.describe import collection_ids, read_job, session_demand, unchanged
from autotransfer.timers.documents import Schedule

NOW_NS = parse_date_ns("2026-03-01T12:00:30Z")
HOUR = 3600


def schedule(**fields: Any) -> Schedule:
    return Schedule(**{"interval_seconds": HOUR, "start_ns": None, "stop_date_ns": None, "stop_runs": None, **fields})


@pytest.mark.parametrize(
    ("start", "moved"),
    [
        ("2026-03-01T13:00Z", "2026-03-01T13:00Z"),
        ("2026-03-01T12:00:30Z", "2026-03-01T12:00:30Z"),
        ("2026-03-01T12:00:00Z", None),
        ("2026-03-01T11:59:29Z", "2026-03-01T12:59:29Z"),
        ("2020-01-01T00:15Z", "2026-03-01T12:15Z"),
        ("1970-01-01T00:00:30Z", "2026-03-01T12:00:30Z"),
    ],
)
def test_a_start_that_has_passed_becomes_the_next_tick_of_its_grid(start: str, moved: str | None) -> None:
    found = schedule(start_ns=parse_date_ns(start)).from_now(NOW_NS).start_ns

    assert found == (None if moved is None else parse_date_ns(moved))


def test_a_single_run_cannot_start_in_the_past() -> None:
    with pytest.raises(UsageProblem, match="has passed"):
        schedule(start_ns=0, stop_runs=1).from_now(NOW_NS)


def test_a_timer_that_would_end_before_its_first_run_is_refused() -> None:
    with pytest.raises(UsageProblem, match="It would never run"):
        schedule(start_ns=NOW_NS + NS_PER_SECOND, stop_date_ns=NOW_NS).document()


def test_an_almost_empty_document_is_shown_all_the_same() -> None:
    job = read_job({"job_id": "x"})

    assert (job.name, job.status, job.next_run, job.last_result, job.runs) == ("[unnamed]", "-", "-", "NOT RUN", "-")
    assert job.is_troubled is False
    assert dict(job.rows())["Last Task"] == "-"


def test_runs_without_results_are_not_called_not_run() -> None:
    assert read_job({"job_id": "x", "n_runs": 3}).last_result == "unknown; `job status` may show it"


@pytest.mark.parametrize(
    ("result", "words", "is_troubled"),
    [
        ({"status": 202, "errors": None, "data": {}}, "SUBMITTED", False),
        ({"status": 500, "errors": None}, "FAILURE: no reason given (HTTP 500)", True),
        ({"errors": {"code": "C", "description": "d"}, "status": 409}, "FAILURE: C: d (HTTP 409)", True),
        ({"status": None, "errors": "boom\x1b"}, "FAILURE: boom\\x1b", True),
        ({}, "FAILURE: no reason given", True),
    ],
)
def test_a_run_that_could_not_be_started_is_a_failure(result: dict[str, Any], words: str, is_troubled: bool) -> None:
    job = read_job({"job_id": "x", "results": {"data": [result]}})

    assert (job.last_result, job.is_troubled) == (words, is_troubled)


@pytest.mark.parametrize(
    ("task", "words", "is_troubled"),
    [
        (
            {"status": "SUCCEEDED", "files_transferred": 1, "bytes_transferred": 5},
            "SUCCEEDED: 1 file copied, 5 bytes",
            0,
        ),
        (
            {"status": "SUCCEEDED", "subtasks_skipped_errors": 2},
            "SUCCEEDED: 0 files copied, 0 bytes; 2 paths SKIPPED because of errors",
            1,
        ),
        ({"status": "FAILED", "fatal_error": {"code": "EXPIRED", "description": "x"}}, "FAILED: EXPIRED x", 1),
        ({"status": "FAILED"}, "FAILED: no reason given", 1),
        ({"status": "ACTIVE", "is_ok": True, "nice_status": "OK"}, "ACTIVE (under way)", 0),
        (
            {"status": "ACTIVE", "is_ok": False, "nice_status": "QUOTA_EXCEEDED"},
            "ACTIVE: QUOTA_EXCEEDED (under way)",
            1,
        ),
        ({}, "unknown (under way)", 0),
    ],
)
def test_what_the_task_came_to_is_reported_in_one_line(task: dict[str, Any], words: str, is_troubled: int) -> None:
    job = read_job({"job_id": "x"}).with_task(task)

    assert (job.last_result, job.is_troubled) == (words, bool(is_troubled))


def test_both_interfaces_name_their_collections() -> None:
    ends = {"source_endpoint": "a", "destination_endpoint": "b"}
    old = {"source_endpoint_id": "a", "destination_endpoint_id": "b"}

    assert collection_ids({"body": ends}) == collection_ids({"callback_body": {"body": old}}) == ["a", "b"]
    assert collection_ids({"callback_body": old}) == ["a", "b"]
    assert collection_ids({"callback_body": {"body": "text"}}) == collection_ids({}) == []


def test_only_a_demand_on_the_session_asks_for_another_sign_in() -> None:
    def document(parameters: dict[str, Any]) -> dict[str, Any]:
        detail = {"code": "C", "authorization_parameters": parameters}
        return {"inactive_reason": {"cause": "globus_auth_requirements", "detail": detail}}

    assert session_demand(document({"required_scopes": ["x"], "session_message": "m"})) is None
    assert session_demand(document({"session_required_mfa": True})) is not None
    assert session_demand({"inactive_reason": {"cause": "user", "detail": None}}) is None
    assert session_demand({}) is None


def test_a_change_that_the_answer_does_not_show_is_found() -> None:
    document = {"name": "n", "interval": 3600.0, "stop_after": {"date": "2027-01-01T00:00:00Z", "n_runs": None}}
    same_date = {"date": "2027-01-01T01:00:00+01:00", "n_runs": None}

    assert unchanged(document, {"name": "n", "interval": 3600, "stop_after": same_date}) == []
    assert unchanged(document, {"name": "m", "interval": 60}) == ["name", "interval"]
    assert unchanged(document, {"stop_after": {"date": None, "n_runs": 3}}) == ["stop_after"]
    assert unchanged({}, {"stop_after": same_date}) == ["stop_after"]
