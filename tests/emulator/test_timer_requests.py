"""What the Timers service is asked: jobs of the first interface, changes, lists, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from emulator.auth.scopes import TIMER, TRANSFER_ALL, data_access_scope
from emulator.http.server import Emulator
from emulator.snapshot import world_state

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

    (state,) = world_state(globus.world)["timers"]
    (task,) = globus.world.tasks.values()
    assert (state["owner_id"], state["task_ids"], state["status"]) == (CLIENT, [task.task_id], "ended")
    assert (task.owner_id, task.status) == (CLIENT, "SUCCEEDED")
