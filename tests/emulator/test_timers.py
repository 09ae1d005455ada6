"""Globus Timers, through the real SDK and on the movable clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
from globus_sdk.gare import to_gare

from emulator.auth.scopes import TIMER, TRANSFER_ALL, data_access_scope
from emulator.auth.state import RESEARCHER
from emulator.clock import parse_time
from emulator.http.server import Emulator

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
MAPPED = "5a0c9d5e-0000-4000-8000-000000000003"
CLIENT = "5a0c9d5e-0000-4000-8000-00000000000c"
HOUR = 3600
FULL_SCOPE = f"{TIMER}[{TRANSFER_ALL}[*{data_access_scope(MAPPED)}]]"
OTHER_ACTION = "https://actions.example.org/run"
TRANSFER_ACTION = "https://actions.automate.globus.org/transfer/transfer/run"
Create = Callable[..., "dict[str, Any]"]


def signed_in(token: str) -> globus_sdk.TimersClient:
    client = globus_sdk.TimersClient(authorizer=globus_sdk.AccessTokenAuthorizer(token))
    client.retry_config.max_retries = 0
    return client


def refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> globus_sdk.TimersAPIError:
    with pytest.raises(globus_sdk.TimersAPIError) as caught:
        call(*arguments, **options)
    return caught.value


def advance(globus: Emulator, **how_long: float) -> None:
    globus.world.advance_clock(timedelta(**how_long).total_seconds())


# ---- ticks ----------------------------------------------------------------------------------------------------------


def test_a_timer_runs_every_hour_and_brings_what_came_in_between(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient, source: Path, destination: Path
) -> None:
    made = create(label="Nightly")
    for number in (1, 2):
        (source / f"added {number}").write_text("new")
        advance(globus, hours=1)

    job = timers.get_job(made["job_id"])
    tasks = list(globus.world.tasks.values())
    assert (made["status"], made["number_of_runs"]) == ("new", 0)
    assert (job["status"], job["n_runs"], job["n_errors"]) == ("loaded", 3, 0)
    assert [task.files_transferred for task in tasks] == [1, 1, 1]
    assert sorted(path.name for path in (destination / "copy").iterdir()) == ["added 1", "added 2", "first"]
    assert [task.label for task in tasks] == ["Nightly, run 1", "Nightly, run 2", "Nightly, run 3"]
    assert {task.owner_id for task in tasks} == {RESEARCHER.id}
    assert job["activity"] == {"code": "awaiting_next_run", "next_run": job["next_run"]}


def test_a_tick_is_skipped_while_the_last_task_is_under_way_and_not_counted(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient
) -> None:
    globus.world.set_progress("seconds:5400")
    made = create({"type": "recurring", "interval_seconds": HOUR, "end": {"condition": "iterations", "count": 2}})
    advance(globus, minutes=70)
    under_way = timers.get_job(made["job_id"])
    advance(globus, hours=1)

    start = parse_time(made["schedule"]["start"])
    first, second = globus.world.tasks.values()
    assert under_way["activity"]["code"] == "run_in_progress"
    assert under_way["activity"]["duration_seconds"] > 60
    assert first.completion_time is not None and first.started_at is not None
    assert 5400 <= (first.completion_time - first.started_at).total_seconds() < 5401
    assert second.request_time - start < timedelta(hours=2, seconds=2)
    assert timers.get_job(made["job_id"])["status"] == "ended"


@pytest.mark.parametrize("word", ["count", "iterations"])
def test_a_timer_ends_after_so_many_runs(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient, word: str
) -> None:
    made = create(globus_sdk.RecurringTimerSchedule(HOUR, end={"condition": "iterations", word: 2}))
    advance(globus, hours=5)

    job = timers.get_job(made["job_id"])
    assert (job["status"], job["next_run"], job["activity"]) == ("ended", None, None)
    assert (job["n_runs"], len(globus.world.tasks), job["stop_after"]["n_runs"]) == (2, 2, 2)


def test_a_timer_ends_by_time_and_starts_when_told(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient
) -> None:
    start = globus.world.clock.now() + timedelta(hours=10)
    end = {"condition": "time", "datetime": start + timedelta(hours=2, minutes=30)}
    made = create(globus_sdk.RecurringTimerSchedule(HOUR, start=start, end=end))
    advance(globus, hours=9)
    before = timers.get_job(made["job_id"])
    advance(globus, hours=9)

    job = timers.get_job(made["job_id"])
    assert (before["status"], before["n_runs"]) == ("new", 0)
    assert parse_time(before["next_run"]) == start.replace(microsecond=0)
    assert (job["status"], job["n_runs"], job["next_run"]) == ("ended", 3, None)
    assert job["schedule"]["end"]["condition"] == "time"


def test_a_timer_that_runs_once_runs_once(globus: Emulator, create: Create, timers: globus_sdk.TimersClient) -> None:
    now = create(globus_sdk.OnceTimerSchedule())
    later = create(globus_sdk.OnceTimerSchedule(globus.world.clock.now() + timedelta(days=1)))

    assert timers.get_job(now["job_id"])["status"] == "ended"
    assert timers.get_job(later["job_id"])["status"] == "new"
    advance(globus, days=3)
    job = timers.get_job(later["job_id"])
    assert (job["status"], job["n_runs"], job["interval"], job["schedule"]["type"]) == ("ended", 1, None, "once")


def test_ticks_of_several_timers_come_in_order_without_drift(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient
) -> None:
    create(globus_sdk.RecurringTimerSchedule(HOUR), label="A")
    create(globus_sdk.RecurringTimerSchedule(45 * 60), items=(("/first", "/b"),), label="B")
    start = globus.world.clock.now()
    globus.world.clock.advance(3.2 * HOUR)
    timers.list_jobs()  # any request lets the timers catch up

    came = [
        (task.submission.label, round((task.request_time - start).total_seconds() / 60))
        for task in globus.world.tasks.values()
    ]
    assert [minutes for _, minutes in came] == [0, 0, 45, 60, 90, 120, 135, 180, 180]
    assert [label for label, _ in came][2:6] == ["B, run 2", "A, run 2", "B, run 3", "A, run 3"]


# ---- what stops a timer, and what lets it go on ---------------------------------------------------------------------


def test_a_paused_timer_waits_and_runs_once_for_all_it_missed(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient
) -> None:
    job_id = create()["job_id"]
    paused = timers.pause_job(job_id)
    advance(globus, hours=3, minutes=20)
    waiting = timers.get_job(job_id)
    resumed = timers.resume_job(job_id)
    job = timers.get_job(job_id)

    assert paused["message"] == f"Successfully paused job {job_id}."
    assert (waiting["status"], waiting["n_runs"]) == ("inactive", 1)
    assert waiting["inactive_reason"] == {"cause": "user", "detail": None}
    assert waiting["activity"] == {"code": "paused", "reason": "user"}
    assert resumed["message"] == f"Successfully resumed job {job_id}."
    assert (job["status"], job["n_runs"], job["inactive_reason"]) == ("loaded", 2, None)
    assert (parse_time(job["next_run"]) - globus.world.clock.now()).total_seconds() == pytest.approx(2400, abs=5)


def test_a_timer_without_the_consent_for_a_collection_is_refused_with_the_scopes_it_needs(
    create: Create, timers: globus_sdk.TimersClient, bearer: Callable[..., str]
) -> None:
    error = refused(create, destination_endpoint=MAPPED)
    gare = to_gare(error)
    bearer(FULL_SCOPE)

    assert (error.http_status, error.code) == (403, "ConsentRequired")
    assert error.info.consent_required
    assert gare is not None and gare.authorization_parameters.required_scopes == [FULL_SCOPE]
    assert create(destination_endpoint=MAPPED)["status"] == "new"


def test_a_consent_to_transfer_is_none_to_timers(create: Create, bearer: Callable[..., str]) -> None:
    bearer(f"{TRANSFER_ALL}[*{data_access_scope(MAPPED)}]")

    assert refused(create, destination_endpoint=MAPPED).http_status == 403


def test_a_timer_whose_consents_were_withdrawn_needs_new_credentials(
    globus: Emulator, create: Create, bearer: Callable[..., str]
) -> None:
    bearer(FULL_SCOPE)
    job_id = create(destination_endpoint=MAPPED)["job_id"]
    globus.world.change_auth(revoke="consents")
    advance(globus, hours=2)
    with signed_in(bearer(TIMER)) as again:
        stopped = again.get_job(job_id)
        again.resume_job(job_id, update_credentials=False)
        still = again.get_job(job_id)
        again.resume_job(job_id)
        lacking = again.get_job(job_id)
        bearer(FULL_SCOPE)
        again.resume_job(job_id, update_credentials=True)
        job = again.get_job(job_id)

    assert (stopped["status"], stopped["n_runs"], stopped["n_errors"]) == ("inactive", 1, 1)
    assert stopped["inactive_reason"]["cause"] == "globus_auth_requirements"
    assert stopped["inactive_reason"]["detail"]["authorization_parameters"]["required_scopes"] == [
        f"{TIMER}[{TRANSFER_ALL}]"
    ]
    assert still["status"] == "inactive"
    assert lacking["inactive_reason"]["detail"] == {
        "code": "ConsentRequired",
        "authorization_parameters": {
            "session_message": "Missing required data_access consent",
            "required_scopes": [FULL_SCOPE],
        },
    }
    assert (job["status"], job["n_runs"]) == ("loaded", 2)


def test_a_timer_stops_at_an_expired_session(globus: Emulator, create: Create, timers: globus_sdk.TimersClient) -> None:
    job_id = create()["job_id"]
    globus.world.change_auth(session_expired=[DESTINATION])
    advance(globus, hours=1)
    stopped = timers.get_job(job_id)
    globus.world.change_auth(session_expired=[])
    timers.resume_job(job_id)

    gare = to_gare(stopped["inactive_reason"]["detail"])
    assert gare is not None and gare.authorization_parameters.session_required_identities == [RESEARCHER.id]
    assert timers.get_job(job_id)["n_runs"] == 2


def test_an_endpoint_that_is_away_is_tried_again_for_half_the_interval(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient
) -> None:
    job_id = create()["job_id"]
    globus.world.change_collection(SOURCE, gcp_connected=False)
    advance(globus, hours=1, minutes=20)
    retrying = timers.get_job(job_id)
    globus.world.change_collection(SOURCE, gcp_connected=True)
    advance(globus, minutes=2)
    recovered = timers.get_job(job_id)
    globus.world.change_collection(SOURCE, gcp_connected=False)
    advance(globus, hours=1, minutes=10)
    failed = timers.get_job(job_id)

    assert (retrying["activity"]["code"], retrying["n_errors"]) == ("retrying", 0)
    assert (recovered["n_runs"], recovered["n_errors"]) == (2, 0)
    assert (failed["n_runs"], failed["n_errors"], failed["status"]) == (3, 1, "loaded")
    assert failed["results"]["data"][0]["status"] == 409
    assert "not currently connected" in failed["results"]["data"][0]["errors"]["description"]


# ---- results --------------------------------------------------------------------------------------------------------


def test_results_come_in_pages_newest_first_and_do_not_follow_their_tasks(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient
) -> None:
    job_id = create()["job_id"]
    advance(globus, hours=4)
    first = timers.get_job(job_id, query_params={"page_size": 3})["results"]
    rest = timers.get_job(job_id, query_params={"page_size": 3, "results_pt": first["page_next"]})["results"]
    listed = timers.list_jobs(query_params={"result_count": 1})["jobs"][0]["results"]["data"]

    results = [*first["data"], *rest["data"]]
    assert (len(first["data"]), len(rest["data"]), rest["page_next"]) == (3, 2, None)
    assert [result["data"]["details"]["task_id"] for result in reversed(results)] == list(globus.world.tasks)
    assert {result["data"]["details"]["status"] for result in results} == {"ACTIVE"}
    assert {task.status for task in globus.world.tasks.values()} == {"SUCCEEDED"}
    assert listed == results[:1]


def test_a_run_that_transfer_refuses_is_a_result_with_its_error(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient
) -> None:
    job_id = create()["job_id"]
    globus.world.change_collection(DESTINATION, allowed_identities=[])
    advance(globus, hours=1)

    job = timers.get_job(job_id)
    assert (job["n_runs"], job["n_errors"]) == (2, 1)
    assert (job["results"]["data"][0]["status"], job["results"]["data"][0]["data"]) == (403, None)
    assert job["results"]["data"][0]["errors"]["code"] == "PermissionDenied"
