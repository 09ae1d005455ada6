"""Globus Timers, through the real SDK and on the movable clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
from globus_sdk.gare import to_gare

from emulator.auth import RESEARCHER
from emulator.clock import parse_time
from emulator.scopes import TIMER, TRANSFER_ALL, data_access_scope
from emulator.server import Emulator

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
MAPPED = "5a0c9d5e-0000-4000-8000-000000000003"
CLIENT = "5a0c9d5e-0000-4000-8000-00000000000c"
HOUR = 3600
FULL_SCOPE = f"{TIMER}[{TRANSFER_ALL}[*{data_access_scope(MAPPED)}]]"
OTHER_ACTION = "https://actions.example.org/run"
TRANSFER_ACTION = "https://actions.automate.globus.org/transfer/transfer/run"
Create = Callable[..., "dict[str, Any]"]


@pytest.fixture
def timers(bearer: Callable[..., str]) -> Iterator[globus_sdk.TimersClient]:
    """The SDK's Timers client, signed in as the researcher; it does not retry."""
    with signed_in(bearer(TIMER)) as client:
        yield client


@pytest.fixture
def create(timers: globus_sdk.TimersClient, source: Path) -> Create:
    """Makes an hourly timer for the whole source (or as told); gives its document."""
    (source / "first").write_text("first")

    def make(
        schedule: Any = None, *, items: tuple[tuple[Any, ...], ...] = (("/", "/copy/", True),), **options: Any
    ) -> dict[str, Any]:
        body = transfer_data(items, **options)
        schedule = schedule or globus_sdk.RecurringTimerSchedule(HOUR)
        timer = globus_sdk.TransferTimer(name="nightly", schedule=schedule, body=body)
        document: dict[str, Any] = timers.create_timer(timer)["timer"]
        return document

    return make


def signed_in(token: str) -> globus_sdk.TimersClient:
    client = globus_sdk.TimersClient(authorizer=globus_sdk.AccessTokenAuthorizer(token))
    client.retry_config.max_retries = 0
    return client


def transfer_data(items: tuple[tuple[Any, ...], ...] = (("/", "/copy/", True),), **options: Any) -> Any:
    options = {"source_endpoint": SOURCE, "destination_endpoint": DESTINATION, "sync_level": "mtime", **options}
    body = globus_sdk.TransferData(**options)
    for item in items:
        body.add_item(item[0], item[1], recursive=item[2] if len(item) > 2 else globus_sdk.MISSING)
    return body


def action(**changes: Any) -> dict[str, Any]:
    """A job of the first interface that transfers the whole source."""
    items = [{"source_path": "/", "destination_path": "/copy/", "recursive": True}]
    body = {"source_endpoint_id": SOURCE, "destination_endpoint_id": DESTINATION, "transfer_items": items}
    job = {
        "name": "old style",
        "start": datetime.now(timezone.utc).isoformat(),
        "interval": HOUR,
        "callback_url": TRANSFER_ACTION,
        "callback_body": {"body": {**body, "label": "old", "sync_level": 2}},
    }
    return {**job, **changes}


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


# ---- the first interface --------------------------------------------------------------------------------------------


def test_a_job_of_the_first_interface_transfers(
    globus: Emulator, timers: globus_sdk.TimersClient, source: Path, destination: Path
) -> None:
    (source / "f").write_text("four")
    made = timers.create_job(action(stop_after={"date": None, "n_runs": 2}))
    advance(globus, hours=5)

    job = timers.get_job(made["job_id"])
    assert (made["status"], made["interval"], made["timer_type"]) == ("new", 3600.0, "transfer")
    assert (job["status"], job["n_runs"], job["stop_after"]) == ("ended", 2, {"date": None, "n_runs": 2})
    assert (destination / "copy/f").read_text() == "four"
    assert [task.label for task in globus.world.tasks.values()] == ["old, run 1", "old, run 2"]
    assert job["callback_body"] == action()["callback_body"]


def test_both_ends_of_a_job_count_and_the_first_to_come_ends_it(
    globus: Emulator, timers: globus_sdk.TimersClient, source: Path
) -> None:
    date = (globus.world.clock.now() + timedelta(hours=1, minutes=30)).isoformat()
    job_id = timers.create_job(action(stop_after={"date": date, "n_runs": 5}))["job_id"]
    advance(globus, hours=9)

    assert (timers.get_job(job_id)["n_runs"], timers.get_job(job_id)["stop_after"]["n_runs"]) == (2, 5)


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"callback_url": OTHER_ACTION}, 501), ({"callback_body": {"body": {"transfer_items": "all"}}}, 400)],
)
def test_a_job_that_cannot_be_carried_out_ends_in_error_results(
    globus: Emulator, timers: globus_sdk.TimersClient, changes: dict[str, Any], status: int
) -> None:
    job_id = timers.create_job(action(**changes, interval=None, stop_after_n=1))["job_id"]

    job = timers.get_job(job_id)
    assert (job["status"], job["n_runs"], job["n_errors"]) == ("ended", 1, 1)
    assert job["results"]["data"][0]["status"] == status
    assert job["results"]["data"][0]["errors"]["description"]
    assert not globus.world.tasks


def test_a_flow_timer_is_kept_but_its_runs_end_in_errors(timers: globus_sdk.TimersClient) -> None:
    flow = globus_sdk.FlowTimer(flow_id=CLIENT, name="flow", schedule={"type": "once"}, body={"body": {"a": 1}})
    made = timers.create_timer(flow)["timer"]

    job = timers.get_job(made["job_id"])
    assert (job["timer_type"], job["flow_id"], job["n_errors"]) == ("flow", CLIENT, 1)
    assert job["results"]["data"][0]["status"] == 501


def test_a_timer_can_be_changed_and_goes_on_when_its_end_moves(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient
) -> None:
    job_id = create({"type": "recurring", "interval_seconds": HOUR, "end": {"condition": "iterations", "count": 1}})[
        "job_id"
    ]
    ended = timers.get_job(job_id)
    changed = timers.update_job(job_id, {"name": "weekly", "interval": 7200, "stop_after": {"n_runs": 3}})
    after = timers.get_job(job_id)
    advance(globus, hours=9)

    job = timers.get_job(job_id)
    assert ended["status"] == "ended"
    assert (changed["status"], changed["name"], changed["interval"]) == ("updated", "weekly", 7200.0)
    assert (after["status"], after["stop_after"]) == ("loaded", {"date": None, "n_runs": 3})
    assert (job["status"], job["n_runs"]) == ("ended", 3)
    assert refused(timers.update_job, job_id, {"interval": 5}).http_status == 422


def test_what_a_timer_transfers_and_when_it_starts_can_be_changed(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient, destination: Path
) -> None:
    start = globus.world.clock.now() + timedelta(hours=1)
    job_id = create(globus_sdk.RecurringTimerSchedule(HOUR, start=start))["job_id"]
    body = dict(timers.get_job(job_id)["callback_body"]["body"])
    body["transfer_items"] = [{"source_path": "/first", "destination_path": "/moved"}]
    timers.update_job(job_id, {"callback_body": {"body": body}, "start": (start + timedelta(hours=2)).isoformat()})
    advance(globus, hours=2)
    waiting = timers.get_job(job_id)["n_runs"]
    advance(globus, hours=1, minutes=1)

    assert (waiting, timers.get_job(job_id)["n_runs"]) == (0, 1)
    assert (destination / "moved").read_text() == "first"


def test_a_world_can_keep_to_changing_names(globus: Emulator, create: Create, timers: globus_sdk.TimersClient) -> None:
    globus.world.updatable_timer_fields = frozenset({"name"})
    job = timers.update_job(create()["job_id"], {"name": "other", "interval": 7200})

    assert (job["name"], job["interval"]) == ("other", 3600.0)


def test_a_deleted_timer_runs_no_more_and_can_still_be_looked_at(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient
) -> None:
    job_id = create()["job_id"]
    deleted = timers.delete_job(job_id)
    advance(globus, hours=5)

    assert (deleted["status"], deleted["n_runs"], timers.get_job(job_id)["status"]) == ("deleted", 1, "deleted")
    assert len(globus.world.tasks) == 1
    assert timers.list_jobs()["jobs"] == []
    assert [job["status"] for job in timers.list_jobs(query_params={"show_deleted": "true"})["jobs"]] == ["deleted"]
    for call in (timers.delete_job, timers.pause_job, timers.resume_job):
        assert refused(call, job_id).http_status == 404


def test_lists_can_be_filtered_and_ordered(globus: Emulator, create: Create, timers: globus_sdk.TimersClient) -> None:
    old = create()["job_id"]
    advance(globus, days=1)
    timers.update_job(old, {"name": "Alpha"})
    once = create(globus_sdk.OnceTimerSchedule())["job_id"]
    paused = create()["job_id"]
    timers.pause_job(paused)
    noon = (globus.world.clock.now() - timedelta(hours=12)).isoformat()

    def ids(**query: Any) -> list[str]:
        return [job["job_id"] for job in timers.list_jobs(query_params=query)["jobs"]]

    assert ids() == ids(order="submitted_at asc") == [old, once, paused]
    assert ids(order="submitted_at desc") == [paused, once, old]
    assert ids(order="name")[0] == old
    assert ids(filter_status="active") == ids(filter_active="true") == ids(filter_name="alph") == [old]
    assert ids(filter_status="ended,inactive") == ids(submitted_after=noon) == [once, paused]
    assert ids(filter_stopped="true") == [once]
    assert ids(submitted_before=noon) == [old]
    for query in ({"order": "mood"}, {"filter_status": "idle"}, {"submitted_after": "noon"}):
        assert refused(timers.list_jobs, query_params=query).http_status == 422


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "place"),
    [
        ({"type": "daily"}, "schedule.type"),
        ({"type": "recurring"}, "schedule.interval_seconds"),
        ({"type": "recurring", "interval_seconds": 59}, "schedule.interval_seconds"),
        ({"type": "recurring", "interval_seconds": 366 * 86400}, "schedule.interval_seconds"),
        ({"type": "recurring", "interval_seconds": "1h"}, "schedule.interval_seconds"),
        ({"type": "recurring", "interval_seconds": 60, "end": {"condition": "iterations"}}, "schedule.end.count"),
        ({"type": "recurring", "interval_seconds": 60, "end": {"condition": "never"}}, "schedule.end.condition"),
        ({"type": "recurring", "interval_seconds": 60, "end": {"datetime": "2001-01-01"}}, "schedule.end"),
        ({"type": "once", "datetime": "2001-01-01"}, "schedule.datetime"),
        ({"type": "once", "datetime": "2999-01-01"}, "schedule.datetime"),
        ({"type": "once", "datetime": "soon"}, "schedule.datetime"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_where_it_is_wrong(
    create: Create, schedule: dict[str, Any], place: str
) -> None:
    error = refused(create, schedule)

    assert error.http_status == 422
    assert error.messages[0].endswith(f": body.timer.{place}")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"DATA": []}, "body.timer.body"),
        ({"DATA": None}, "body.timer.body.DATA"),
        ({"source_endpoint": "here"}, "body.timer.body"),
        ({"DATA_TYPE": "delete"}, "body.timer.body"),
        ({"label": "x" * 129}, "body.timer.body"),
        ({"sync_level": 7}, "body.timer.body"),
        ({"DATA": [{"DATA_TYPE": "transfer_symlink_item", "source_path": "/a"}]}, "body.timer.body.DATA"),
    ],
)
def test_a_transfer_that_makes_no_sense_is_refused(
    timers: globus_sdk.TimersClient, changes: dict[str, Any], place: str
) -> None:
    document = {"timer_type": "transfer", "schedule": {"type": "once"}, "body": {**transfer_data(), **changes}}

    error = refused(timers.create_timer, document)

    assert error.http_status == 422
    assert error.messages[0].endswith(f": {place}")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"interval": None}, "interval"),
        ({"interval": HOUR, "stop_after": {"n_runs": 1}}, "interval"),
        ({"start": "1969-01-01"}, "start"),
        ({"start": "2999-01-01"}, "start"),
        ({"callback_url": "ftp://example.org"}, "callback_url"),
        ({"callback_body": "text"}, "callback_body"),
        ({"stop_after": {"n_runs": 0}}, "stop_after.n_runs"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(
    timers: globus_sdk.TimersClient, changes: dict[str, Any], place: str
) -> None:
    error = refused(timers.create_job, action(**changes))

    assert error.http_status == 422
    assert error.messages[0].endswith(f": body.{place}")


def test_fields_that_the_service_does_not_know_are_dropped(
    globus: Emulator, timers: globus_sdk.TimersClient, source: Path
) -> None:
    (source / "first").write_text("first")
    body = {**transfer_data(), "recursive_symlinks": "keep", "submission_id": CLIENT, "label": "y" * 128}
    made = timers.create_timer({"timer_type": "transfer", "schedule": {"type": "once"}, "body": body})["timer"]

    (task,) = globus.world.tasks.values()
    assert not {"recursive_symlinks", "submission_id"} & made["body"].keys()
    assert (task.submission.recursive_symlinks, task.submission.submission_id == CLIENT) == ("ignore", False)
    assert task.label == "y" * 121 + ", run 1"


def test_a_timer_is_its_owners_and_wants_a_token_for_timers(
    globus: Emulator, create: Create, timers: globus_sdk.TimersClient, bearer: Callable[..., str]
) -> None:
    job_id = create()["job_id"]
    with signed_in(bearer(TRANSFER_ALL)) as wrong, signed_in(bearer(TIMER, identity_id=CLIENT)) as other:
        assert refused(wrong.list_jobs).http_status == 401
        assert other.list_jobs()["jobs"] == []
        assert refused(other.get_job, job_id).http_status == 404
    assert refused(timers.get_job, "7").http_status == 422
    assert refused(timers.get_job, CLIENT).http_status == 404


def test_a_service_account_has_timers_of_its_own(globus: Emulator, source: Path, destination: Path) -> None:
    (source / "f").write_text("four")
    application = globus_sdk.ConfidentialAppAuthClient(CLIENT, "secret")
    authorizer = globus_sdk.ClientCredentialsAuthorizer(application, FULL_SCOPE)
    with globus_sdk.TimersClient(authorizer=authorizer) as client:
        timer = globus_sdk.TransferTimer(schedule={"type": "once"}, body=transfer_data(destination_endpoint=MAPPED))
        job_id = client.create_timer(timer)["timer"]["job_id"]
        assert client.get_job(job_id)["n_errors"] == 0

    (state,) = globus.world.snapshot()["timers"]
    (task,) = globus.world.tasks.values()
    assert (state["owner_id"], state["task_ids"], state["status"]) == (CLIENT, [task.task_id], "ended")
    assert (task.owner_id, task.status) == (CLIENT, "SUCCEEDED")
