"""Faults on demand, rules about tasks, and the private prefix through which other processes ask for them."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
import requests
from waiting import LONGEST_WAIT_SECONDS, until

from emulator.clock import parse_time
from emulator.faults import Fault
from emulator.http.server import Emulator

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
Submit = Callable[..., str]
Copy = Callable[..., "dict[str, Any]"]


class Control:
    """Speaks to the private prefix, as another process would."""

    def __init__(self, globus: Emulator) -> None:
        self._base = globus.url + "_emulator/"

    def __call__(self, method: str, route: str, /, **body: Any) -> Any:
        reply = requests.request(method, self._base + route, json=body or None, timeout=60)
        assert reply.ok, reply.text
        return reply.json()


@pytest.fixture
def control(globus: Emulator) -> Control:
    """The private prefix."""
    return Control(globus)


@pytest.fixture
def files(source: Path) -> list[tuple[str, str]]:
    """Four files at the source, as items."""
    for name in ("a", "b", "c", "d"):
        (source / name).write_bytes(name.encode() * 1000)
    return [(f"/{name}", f"/{name}") for name in "abcd"]


def test_a_status_on_demand_comes_the_asked_number_of_times(
    control: Control, transfer: globus_sdk.TransferClient
) -> None:
    control("POST", "faults", route="GET /v0.10/submission*", status=503, times=2, skip=1, headers={"Retry-After": "7"})

    seen = []
    for _ in range(4):
        try:
            seen.append(transfer.get_submission_id().http_status)
        except globus_sdk.TransferAPIError as error:
            seen.append(error.http_status)
            assert error.headers["Retry-After"] == "7"

    assert seen == [200, 503, 503, 200]


def test_an_answer_can_be_a_web_page(control: Control, transfer: globus_sdk.TransferClient) -> None:
    control("POST", "faults", route="* /v0.10/*", status=502, text="<html>Bad gateway</html>")

    with pytest.raises(globus_sdk.TransferAPIError) as caught:
        transfer.get_submission_id()

    assert (caught.value.http_status, caught.value.raw_json) == (502, None)


@pytest.mark.parametrize(("when", "is_done"), [("before", False), ("after", True)])
def test_a_connection_can_be_dropped_before_or_after_the_work(
    control: Control, globus: Emulator, submit: Submit, files: list[tuple[str, str]], when: str, is_done: bool
) -> None:
    control("POST", "faults", route="POST /v0.10/transfer", reset=when)
    submission_id = str(uuid.uuid4())

    with pytest.raises(globus_sdk.GlobusConnectionError):
        submit(*files, submission_id=submission_id)

    assert (len(globus.world.tasks) == 1) is is_done
    assert submit(*files, submission_id=submission_id) == next(iter(globus.world.tasks))
    assert [entry.status for entry in globus.world.requests if entry.path.endswith("transfer")] == (
        [202, 200] if is_done else [None, 202]
    )


def test_an_answer_can_be_late_or_cut_short(control: Control, transfer: globus_sdk.TransferClient) -> None:
    control("POST", "faults", route="GET /v0.10/task_list", delay_seconds=0.2)
    control("POST", "faults", route="GET /v0.10/submission_id", truncate=True)

    begin = time.monotonic()
    transfer.task_list()
    assert time.monotonic() - begin >= 0.2
    with pytest.raises(globus_sdk.NetworkError):
        transfer.get_submission_id()
    control("DELETE", "faults")


@pytest.mark.parametrize("release", [Fault.release, lambda hold: None], ids=["by name", "with all faults"])
def test_a_request_can_be_held_until_it_is_released(
    globus: Emulator, transfer: globus_sdk.TransferClient, release: Callable[[Fault], None]
) -> None:
    hold = globus.world.add_fault("GET /v0.10/submission_id", hold=True)
    with ThreadPoolExecutor(1) as asking:
        answer = asking.submit(transfer.get_submission_id)
        until(lambda: hold.is_holding)
        assert transfer.task_list().http_status == 200  # the others go on
        assert not answer.done()

        release(hold)
        globus.world.clear_faults()

        assert answer.result(LONGEST_WAIT_SECONDS).http_status == 200
    assert not hold.is_holding


@pytest.mark.parametrize("outcome", ["fail", "cancel", "expire"])
def test_a_task_can_end_after_some_files(
    control: Control, copy: Copy, destination: Path, files: list[tuple[str, str]], outcome: str
) -> None:
    control("POST", "outcomes", outcome=outcome, code="NO_SPACE_LEFT", after_files=2, label="night*", times=1)

    other = copy(*files, label="day")
    task = copy(*((path, f"/out{path}") for path, _ in files), label="night 1")
    again = copy(*((path, f"/out{path}") for path, _ in files), label="night 1")

    codes = {"fail": "NO_SPACE_LEFT", "cancel": "CANCELED", "expire": "EXPIRED"}
    assert (task["status"], task["fatal_error"]["code"]) == ("FAILED", codes[outcome])
    assert (task["files_transferred"], task["subtasks_pending"]) == (2, 0)
    assert (other["status"], again["status"]) == ("SUCCEEDED", "SUCCEEDED")


def test_a_half_written_file_stays_behind_and_is_newer_than_its_source(
    control: Control, copy: Copy, source: Path, destination: Path, files: list[tuple[str, str]]
) -> None:
    control("POST", "outcomes", outcome="half", path="/b", code="CONNECTION_BROKEN", times=1)

    task = copy(*files)
    level_2 = copy(*files[1:2], sync_level=2)
    level_3 = copy(*files[1:2], sync_level=3)

    assert task["fatal_error"]["code"] == "CONNECTION_BROKEN"
    assert (level_2["files_transferred"], level_3["files_skipped"]) == (1, 1)
    assert (destination / "b").stat().st_mtime >= (source / "b").stat().st_mtime


def test_a_file_can_stall_or_be_skipped(
    control: Control, copy: Copy, transfer: globus_sdk.TransferClient, files: list[tuple[str, str]]
) -> None:
    control("POST", "outcomes", outcome="stall", path="/a", code="FILE_ACCESS")
    control("POST", "outcomes", outcome="skip", path="/c", code="AMBIGUOUS_PATH")

    stuck = copy(*files, skip_source_errors=True)
    control("DELETE", "outcomes")
    done = transfer.get_task(stuck["task_id"])

    assert (stuck["status"], stuck["nice_status"], stuck["files_transferred"]) == ("ACTIVE", "FILE_ACCESS", 2)
    assert (done["status"], done["files_transferred"], done["subtasks_skipped_errors"]) == ("SUCCEEDED", 3, 1)
    skipped = transfer.task_skipped_errors(done["task_id"])["DATA"]
    assert [(error["source_path"], error["error_code"]) for error in skipped] == [("/c", "AMBIGUOUS_PATH")]


def test_a_task_can_be_paused_or_lose_its_credentials_and_go_on(
    control: Control, copy: Copy, transfer: globus_sdk.TransferClient, files: list[tuple[str, str]]
) -> None:
    control("POST", "outcomes", outcome="pause", after_files=1, times=1)
    paused = copy(*files)
    control("POST", "outcomes", outcome="inactive", after_files=1, times=1)
    inactive = copy(*((path, f"/out{path}") for path, _ in files))

    assert (paused["status"], paused["is_paused"], paused["files_transferred"]) == ("ACTIVE", True, 1)
    assert transfer.task_pause_info(paused["task_id"])["pause_rules"][0]["message"]
    assert (inactive["status"], inactive["files_transferred"]) == ("INACTIVE", 1)
    control("PATCH", f"tasks/{paused['task_id']}", pause=False)
    control("PATCH", f"tasks/{inactive['task_id']}", inactive=False)
    for task in (paused, inactive):
        done = transfer.get_task(task["task_id"])
        assert (done["status"], done["files_transferred"]) == ("SUCCEEDED", 4)
    assert transfer.task_pause_info(paused["task_id"])["pause_rules"] == []


def test_a_task_can_be_forgotten(
    control: Control, submit: Submit, transfer: globus_sdk.TransferClient, destination: Path, files: Any
) -> None:
    control("POST", "outcomes", outcome="forget", times=1)

    task_id = submit(*files)

    with pytest.raises(globus_sdk.TransferAPIError, match="TaskNotFound"):
        transfer.get_task(task_id)
    assert len(list(destination.iterdir())) == 4


def test_an_administrator_can_cancel(
    control: Control, submit: Submit, transfer: globus_sdk.TransferClient, files: list[tuple[str, str]]
) -> None:
    control("POST", "progress", mode="polls:5")
    task_id = submit(*files)

    control("PATCH", f"tasks/{task_id}", cancel_by_admin="SOURCE", message="maintenance")

    task = transfer.get_task(task_id)
    assert (task["canceled_by_admin"], task["canceled_by_admin_message"]) == ("SOURCE", "maintenance")
    assert task["fatal_error"]["code"] == "CANCELED"


def test_the_state_shows_tasks_with_their_documents_and_the_clock(
    control: Control, submit: Submit, files: list[tuple[str, str]]
) -> None:
    control("POST", "clock", set="2031-05-06T07:08:09Z")
    submission_id = str(uuid.uuid4())
    task_id = submit(*files, submission_id=submission_id, label="L")

    state = control("GET", "state")

    assert state["now"].startswith("2031-05-06T07:08:")
    (task,) = state["tasks"]
    assert (task["task_id"], task["submission_id"], task["label"]) == (task_id, submission_id, "L")
    assert (task["status"], task["files_transferred"]) == ("SUCCEEDED", 4)
    assert len(task["document"]["DATA"]) == 4
    assert state["conflicts"] == []
    assert [collection["name"] for collection in state["collections"]][:2] == ["Instrument", "Archive"]
    assert control("POST", "clock", advance_seconds=86400)["now"].startswith("2031-05-07")


@pytest.mark.parametrize("seconds", [-4611686018427384304, -1e11, 1e30, float("nan")])
def test_a_clock_that_would_show_no_date_is_refused_and_goes_on(
    globus: Emulator, control: Control, seconds: float
) -> None:
    reply = requests.post(
        globus.url + "_emulator/clock",
        data=json.dumps({"advance_seconds": seconds}),
        headers={"Content-Type": "application/json"},
        timeout=60,
    )

    assert (reply.status_code, "is before 1970 or after 9000" in reply.text) == (400, True)
    assert control("GET", "state")["now"].startswith("20")


def test_only_imitated_requests_are_logged(control: Control, transfer: globus_sdk.TransferClient) -> None:
    transfer.task_list(limit=3)
    control("GET", "state")

    (entry,) = control("GET", "requests")
    assert (entry["method"], entry["path"], entry["query"], entry["status"]) == (
        "GET",
        "/v0.10/task_list",
        "limit=3",
        200,
    )
    control("DELETE", "requests")
    assert control("GET", "requests") == []


def test_collections_logins_and_limits_can_be_changed(
    control: Control, transfer: globus_sdk.TransferClient, submit: Submit
) -> None:
    assert control("PATCH", f"collections/{SOURCE}", gcp_connected=False, name="Away")["name"] == "Away"
    assert transfer.get_endpoint(SOURCE)["display_name"] == "Away"
    control("PATCH", "limits", items_per_task=1)
    with pytest.raises(globus_sdk.TransferAPIError, match="RequestTooLarge"):
        submit(("/a", "/a"), ("/b", "/b"))
    control("POST", "auth", revoke="access_tokens")
    with pytest.raises(globus_sdk.TransferAPIError, match="AuthenticationFailed"):
        transfer.get_submission_id()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "faults", {"route": "nonsense", "status": 503}),
        ("POST", "faults", {"route": "GET /x"}),
        ("POST", "faults", {"route": None, "status": 503}),
        ("POST", "faults", {"route": "GET /x", "status": 503, "colour": "blue"}),
        ("POST", "outcomes", {"outcome": "explode"}),
        ("POST", "progress", {"mode": "polls:0"}),
        ("POST", "clock", {"set": "soon"}),
        ("POST", "clock", {}),
        ("PATCH", f"collections/{SOURCE}", {"colour": "blue"}),
        ("PATCH", "tasks/none", {"pause": True}),
        ("PATCH", "limits", {"items_per_task": [1]}),
        ("PATCH", "limits", {"request_bytes": -1}),
        ("POST", "auth", {"revoke": "everything"}),
    ],
)
def test_what_makes_no_sense_is_refused(globus: Emulator, method: str, path: str, body: dict[str, Any]) -> None:
    reply = requests.request(method, f"{globus.url}_emulator/{path}", json=body, timeout=60)

    assert reply.status_code == (404 if path == "tasks/none" else 400)
    assert reply.json()


def test_requests_at_the_same_time_are_all_served(globus: Emulator, bearer: Callable[..., str]) -> None:
    headers = {"Authorization": f"Bearer {bearer()}"}

    def ask(number: int) -> int:
        return requests.get(f"{globus.url}v0.10/submission_id", headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(40))) == [200] * 40


def test_answers_are_http_1_1_with_length_and_date_also_for_doubled_slashes(globus: Emulator) -> None:
    _, _, host, secret, _ = globus.url.split("/")
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        for path in ("//.well-known//openid-configuration", "/jwk.json"):
            connection.request("GET", f"/{secret}{path}")
            reply = connection.getresponse()
            body = reply.read()
            assert (reply.status, reply.version) == (200, 11)
            assert int(reply.headers["Content-Length"]) == len(body)
            assert reply.headers["Date"]
    finally:
        connection.close()


def test_a_body_in_chunks_is_read_whole(globus: Emulator) -> None:
    pieces = iter([b'{"mode":', b'"polls:3"}'])
    headers = {"Content-Type": "application/json"}
    reply = requests.post(f"{globus.url}_emulator/progress", data=pieces, headers=headers, timeout=60)

    assert reply.json() == {"mode": "polls:3"}


def test_the_date_of_answers_follows_the_clock_and_a_fault_can_name_its_own(globus: Emulator) -> None:
    def dates() -> list[str]:
        _, _, host, secret, _ = globus.url.split("/")
        connection = http.client.HTTPConnection(host, timeout=60)
        try:
            connection.request("GET", f"/{secret}/jwk.json")
            return connection.getresponse().headers.get_all("Date", [])
        finally:
            connection.close()

    globus.world.set_clock(parse_time("2031-05-06T07:08:09Z"))
    moved = dates()
    globus.world.add_fault("GET /jwk.json", status=503, headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"})

    assert len(moved) == 1
    assert parsedate_to_datetime(moved[0]) - parse_time("2031-05-06T07:08:09Z") < timedelta(minutes=1)
    assert dates() == ["Thu, 01 Jan 1970 00:00:00 GMT"]
