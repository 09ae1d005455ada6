"""The life of a task: submission, queue, faults, deadlines, cancellation, history."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from emulator.http.server import Emulator

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
MAPPED = "5a0c9d5e-0000-4000-8000-000000000003"
GUEST = "5a0c9d5e-0000-4000-8000-000000000004"
Submit = Callable[..., str]
Copy = Callable[..., "dict[str, Any]"]
HOUR_SECONDS = 3600


@pytest.fixture
def three_files(source: Path) -> list[tuple[str, str]]:
    """Three files at the source, as items."""
    for name in "abc":
        (source / name).write_text(name * 3)
    return [(f"/{name}", f"/{name}") for name in "abc"]


def refused(call: Callable[..., Any], *args: Any, **kwargs: Any) -> globus_sdk.TransferAPIError:
    """The refusal that a call ends in."""
    with pytest.raises(globus_sdk.TransferAPIError) as caught:
        call(*args, **kwargs)
    return caught.value


def test_a_second_post_with_the_same_submission_id_gives_the_first_task(
    transfer: globus_sdk.TransferClient, three_files: list[tuple[str, str]]
) -> None:
    document = globus_sdk.TransferData(SOURCE, DESTINATION)
    document.add_item(*three_files[0])

    first, second = transfer.submit_transfer(document), transfer.submit_transfer(document)

    assert (first["code"], first.http_status) == ("Accepted", 202)
    assert (second["code"], second.http_status) == ("Duplicate", 200)
    assert first["task_id"] == second["task_id"]
    assert len(transfer.task_list(filter="status:SUCCEEDED")["DATA"]) == 1


def test_identical_paths_conflict_while_a_task_is_open(
    globus: Emulator, submit: Submit, transfer: globus_sdk.TransferClient, three_files: list[tuple[str, str]]
) -> None:
    globus.world.set_progress("polls:1")
    first = submit(*three_files)

    error = refused(submit, *reversed(three_files))
    submit(*three_files[:2])
    transfer.get_task(first)
    submit(*three_files)

    assert (error.http_status, error.code) == (409, "Conflict")
    assert error.message == "A transfer with identical paths has not yet completed"
    assert {conflict.path for conflict in globus.world.conflicts} == {"/a", "/b"}


def test_a_path_within_an_open_recursive_item_is_noted_as_a_conflict(globus: Emulator, submit: Submit) -> None:
    globus.world.set_progress("polls:1")
    submit(("/run/", "/run/", True))
    submit(("/run/deep/file", "/run/deep/file", False))
    submit(("/running", "/running", False))

    assert [conflict.path for conflict in globus.world.conflicts] == ["/run/deep/file"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"DATA_TYPE": "transfers"}, "BadRequest"),
        ({"source_endpoint": None}, "BadRequest"),
        ({"submission_id": None}, "BadRequest"),
        ({"DATA": []}, "ClientError.BadRequest.NoTransferItems"),
        ({"DATA": [{"DATA_TYPE": "item"}]}, "BadRequest"),
        ({"label": "x" * 129}, "BadRequest"),
        ({"label": "two\nlines"}, "BadRequest"),
        ({"label": " blank "}, "BadRequest"),
        ({"sync_level": 4}, "BadRequest"),
        ({"sync_level": "mtime"}, "BadRequest"),
        ({"verify_checksum": 1}, "BadRequest"),
        ({"deadline": "tomorrow"}, "BadRequest"),
        ({"filter_rules": [{"DATA_TYPE": "filter_rule", "method": "drop", "name": "*"}]}, "BadRequest"),
    ],
)
def test_a_document_with_a_mistake_is_refused(submit: Submit, fields: dict[str, Any], code: str) -> None:
    error = refused(submit, ("/a", "/a"), fields=fields)

    assert (error.http_status, error.code) == (400, code)


@pytest.mark.parametrize("path", ["relative/path", "", "/with\r\nnewline", "/nul\0", "/lone\udcff"])
def test_a_path_that_cannot_be_one_is_refused(submit: Submit, path: str) -> None:
    assert refused(submit, (path, "/a")).http_status == 400
    assert refused(submit, ("/a", path)).http_status == 400


def test_limits_are_refused_as_too_large(globus: Emulator, submit: Submit) -> None:
    globus.world.limits.items_per_task = 2
    items = [(f"/{number}", f"/{number}") for number in range(3)]
    assert refused(submit, *items).code == "RequestTooLarge"

    globus.world.limits.items_per_task = None
    globus.world.limits.request_bytes = 100
    assert refused(submit, *items).http_status == 413


def test_an_unknown_collection_is_not_found(submit: Submit, transfer: globus_sdk.TransferClient) -> None:
    nowhere = str(uuid.uuid4())

    assert refused(submit, ("/a", "/a"), source_endpoint=nowhere).code == "EndpointNotFound"
    assert refused(transfer.get_endpoint, nowhere).http_status == 404
    assert refused(transfer.get_task, nowhere).code == "TaskNotFound"


def test_three_tasks_are_worked_and_the_others_are_queued(
    globus: Emulator, submit: Submit, transfer: globus_sdk.TransferClient, three_files: list[tuple[str, str]]
) -> None:
    globus.world.set_progress("polls:2")
    tasks = [submit(("/a", f"/{number}")) for number in range(5)]

    first = [transfer.get_task(task_id) for task_id in tasks]
    second = [transfer.get_task(task_id) for task_id in tasks]

    assert [task["nice_status"] for task in first] == ["OK"] * 3 + ["Queued"] * 2
    assert all(task["is_ok"] for task in first)
    assert [task["status"] for task in second] == ["SUCCEEDED"] * 3 + ["ACTIVE"] * 2
    assert transfer.get_task(tasks[4])["status"] == "SUCCEEDED"


def test_more_than_a_hundred_waiting_tasks_are_refused(globus: Emulator, submit: Submit) -> None:
    globus.world.set_progress("polls:1")
    for number in range(103):
        submit(("/a", f"/{number}"))

    assert refused(submit, ("/a", "/last")).code == "ClientError.Conflict.TooManyPendingJobs"


def test_progress_over_polls_copies_in_steps(
    globus: Emulator,
    submit: Submit,
    transfer: globus_sdk.TransferClient,
    destination: Path,
    three_files: list[tuple[str, str]],
) -> None:
    globus.world.set_progress("polls:3")
    task_id = submit(*three_files)

    seen = []
    for _ in range(3):
        task = transfer.get_task(task_id)
        seen.append((task["status"], task["files_transferred"], len(list(destination.iterdir()))))

    assert seen == [("ACTIVE", 1, 1), ("ACTIVE", 2, 2), ("SUCCEEDED", 3, 3)]


def test_progress_over_seconds_follows_the_clock_also_within_one_file(
    globus: Emulator, submit: Submit, transfer: globus_sdk.TransferClient, source: Path, destination: Path
) -> None:
    (source / "big").write_bytes(bytes(8 << 20))
    globus.world.set_progress("seconds:1000")
    task_id = submit(("/big", "/big"))
    assert transfer.get_task(task_id)["bytes_transferred"] <= 1 << 20

    globus.world.advance_clock(500)
    half = transfer.get_task(task_id)
    globus.world.advance_clock(500)

    assert half["status"] == "ACTIVE"
    assert half["bytes_transferred"] == (destination / "big").stat().st_size or half["bytes_transferred"] == 5 << 20
    assert 4 << 20 <= half["bytes_transferred"] <= 5 << 20
    assert transfer.get_task(task_id)["status"] == "SUCCEEDED"


@pytest.mark.parametrize("mode", ["missing", "unreadable", "unsearchable"])
def test_a_source_that_cannot_be_read_keeps_the_task_active_until_it_can(
    copy: Copy, transfer: globus_sdk.TransferClient, source: Path, destination: Path, mode: str
) -> None:
    folder = source / "d"
    folder.mkdir()
    if mode != "missing":
        (folder / "f").write_text("text")
    locked = {"unreadable": folder / "f", "unsearchable": folder}.get(mode)
    if locked:
        locked.chmod(0)

    stuck = copy(("/d/f", "/f"))
    again = transfer.get_task(stuck["task_id"])
    if locked:
        locked.chmod(0o755)
    else:
        (folder / "f").write_text("text")
    done = transfer.get_task(stuck["task_id"])

    assert (stuck["status"], stuck["is_ok"], stuck["subtasks_pending"]) == (
        "ACTIVE",
        False,
        1 + (mode == "unreadable") * 0,
    )
    assert stuck["nice_status"] == ("FILE_NOT_FOUND" if mode == "missing" else "PERMISSION_DENIED")
    assert again["faults"] > stuck["faults"] >= 1
    assert done["status"] == "SUCCEEDED"
    assert (destination / "f").read_text() == "text"


def test_source_errors_can_be_skipped_and_are_listed(
    copy: Copy, transfer: globus_sdk.TransferClient, three_files: list[tuple[str, str]], source: Path
) -> None:
    (source / "a").unlink()
    (source / "b").chmod(0)

    task = copy(*three_files, skip_source_errors=True)

    assert (task["status"], task["subtasks_skipped_errors"], task["files_transferred"]) == ("SUCCEEDED", 2, 1)
    skipped = list(transfer.task_skipped_errors(task["task_id"]))
    assert [(error["source_path"], error["error_code"]) for error in skipped] == [
        ("/a", "FILE_NOT_FOUND"),
        ("/b", "PERMISSION_DENIED"),
    ]
    arrived = list(transfer.task_successful_transfers(task["task_id"]))
    assert [(entry["source_path"], entry["destination_path"]) for entry in arrived] == [("/c", "/c")]


@pytest.mark.parametrize(("recursive", "path"), [(True, "/a"), (False, "/d")])
def test_an_item_of_the_wrong_kind_is_a_fault(
    copy: Copy, three_files: list[tuple[str, str]], source: Path, recursive: bool, path: str
) -> None:
    (source / "d").mkdir()

    task = copy((path, "/x", recursive))

    assert (task["status"], task["nice_status"]) == ("ACTIVE", "NOT_A_DIRECTORY" if recursive else "IS_A_DIRECTORY")


def test_a_stuck_task_expires_at_its_deadline(
    globus: Emulator, copy: Copy, transfer: globus_sdk.TransferClient
) -> None:
    short = copy(("/none", "/none"), deadline=globus.world.clock.now().replace(microsecond=0).isoformat())
    task = copy(("/missing", "/x"))

    globus.world.advance_clock(23 * HOUR_SECONDS)
    assert transfer.get_task(task["task_id"])["status"] == "ACTIVE"
    globus.world.advance_clock(2 * HOUR_SECONDS)

    expired = transfer.get_task(task["task_id"])
    assert (expired["status"], expired["fatal_error"]["code"]) == ("FAILED", "EXPIRED")
    assert expired["subtasks_expired"] == 1
    assert short["status"] == "FAILED"


def test_a_task_that_makes_progress_has_three_days_more(
    globus: Emulator, copy: Copy, transfer: globus_sdk.TransferClient, three_files: list[tuple[str, str]]
) -> None:
    task = copy(*three_files, ("/none", "/none"))

    globus.world.advance_clock(71 * HOUR_SECONDS)
    assert transfer.get_task(task["task_id"])["status"] == "ACTIVE"
    globus.world.advance_clock(2 * HOUR_SECONDS)
    assert transfer.get_task(task["task_id"])["fatal_error"]["code"] == "EXPIRED"


def test_a_canceled_task_leaves_what_it_has_copied(
    globus: Emulator,
    submit: Submit,
    transfer: globus_sdk.TransferClient,
    destination: Path,
    three_files: list[tuple[str, str]],
) -> None:
    globus.world.set_progress("polls:3")
    task_id = submit(*three_files)
    transfer.get_task(task_id)
    assert refused(transfer.task_successful_transfers, task_id).http_status == 400

    first, second = transfer.cancel_task(task_id), transfer.cancel_task(task_id)

    task = transfer.get_task(task_id)
    assert (first["code"], second["code"]) == ("Canceled", "TaskComplete")
    assert task["fatal_error"] == {"code": "CANCELED", "description": "canceled"}
    assert task["subtasks_canceled"] > 0
    assert [path.name for path in destination.iterdir()] == ["a"]
    assert [entry["source_path"] for entry in transfer.task_successful_transfers(task_id)] == ["/a"]


def test_label_and_deadline_of_an_open_task_can_be_changed(
    globus: Emulator, submit: Submit, transfer: globus_sdk.TransferClient, three_files: list[tuple[str, str]]
) -> None:
    globus.world.set_progress("polls:2")
    task_id = submit(*three_files, label="before")

    answer = transfer.update_task(task_id, {"DATA_TYPE": "task", "label": "after", "deadline": "2099-01-01"})

    task = transfer.get_task(task_id)
    assert answer["message"] == "Updated task deadline and label successfully"
    assert (task["label"], task["deadline"]) == ("after", "2099-01-01T00:00:00+00:00")
    transfer.get_task(task_id)
    assert refused(transfer.update_task, task_id, {"DATA_TYPE": "task", "label": "late"}).http_status == 409


def test_long_lists_come_in_pages(
    globus: Emulator, submit: Submit, transfer: globus_sdk.TransferClient, source: Path
) -> None:
    globus.world.page_size = 4
    (source / "t").mkdir()
    for number in range(10):
        (source / "t" / str(number)).touch()
    task_id = submit(("/t/", "/t/", True))
    for number in range(4):
        submit(("/t/1", f"/{number}"))

    arrived = list(transfer.paginated.task_successful_transfers(task_id).items())
    tasks = list(transfer.paginated.task_list(limit=2).items())

    assert len(arrived) == 10
    assert len({task["task_id"] for task in tasks}) == 5
    assert tasks[-1]["task_id"] == task_id


def test_tasks_are_found_by_filter(
    globus: Emulator, submit: Submit, transfer: globus_sdk.TransferClient, three_files: list[tuple[str, str]]
) -> None:
    ids = [submit(item, label=label) for item, label in zip(three_files, ("Night 1", "night 2", "day"))]
    globus.world.set_progress("polls:9")
    ids.append(submit(("/a", "/open"), label="night 3"))

    def find(text: str) -> set[int]:
        return {ids.index(task["task_id"]) for task in transfer.task_list(filter=text)["DATA"]}

    assert find("status:ACTIVE,INACTIVE") == {3}
    assert find("label:~night*/status:SUCCEEDED") == {0, 1}
    assert find("label:=night 2") == {1}
    assert find("label:!~night*") == {2}
    assert find(f"task_id:{ids[0]},{ids[2]}") == {0, 2}
    assert find("request_time:2001-01-01 00:00:00,") == {0, 1, 2, 3}
    assert find("request_time:,2001-01-01T00:00:00") == set()
    assert find("type:DELETE") == set()
    assert set(transfer.task_list(query_params={"fields": "task_id,status"})["DATA"][0]) <= {
        "task_id",
        "status",
        "DATA_TYPE",
    }
    assert refused(find, "colour:blue").http_status == 400


def test_after_thirty_days_only_the_task_itself_is_left(
    globus: Emulator, copy: Copy, transfer: globus_sdk.TransferClient, three_files: list[tuple[str, str]]
) -> None:
    task_id = copy(*three_files)["task_id"]

    globus.world.advance_clock(31 * 24 * HOUR_SECONDS)

    assert transfer.get_task(task_id)["history_deleted"] is True
    assert list(transfer.task_successful_transfers(task_id)) == []
    assert list(transfer.task_event_list(task_id)) == []


def test_tasks_of_others_are_not_seen(
    globus: Emulator, bearer: Callable[..., str], copy: Copy, three_files: list[tuple[str, str]]
) -> None:
    task_id = copy(*three_files)["task_id"]
    token = bearer(identity_id=str(uuid.uuid4()))
    with globus_sdk.TransferClient(authorizer=globus_sdk.AccessTokenAuthorizer(token)) as other:
        assert refused(other.get_task, task_id).http_status == 403
        assert other.task_list()["DATA"] == []


def test_deletion_removes_files_and_trees_but_not_what_links_lead_to(
    transfer: globus_sdk.TransferClient, source: Path
) -> None:
    (source / "t/sub").mkdir(parents=True)
    (source / "t/sub/f").touch()
    (source / "kept").mkdir()
    (source / "link").symlink_to("kept")

    def delete(*paths: str, **options: Any) -> Any:
        document = globus_sdk.DeleteData(SOURCE, **options)
        for path in paths:
            document.add_item(path)
        return transfer.get_task(transfer.submit_delete(document)["task_id"])

    assert delete("/t")["fatal_error"]["code"] == "IS_A_DIRECTORY"
    done = delete("/t", "/link", recursive=True)
    missing = delete("/none")

    assert (done["status"], done["type"], done["destination_endpoint_id"]) == ("SUCCEEDED", "DELETE", None)
    assert os.listdir(source) == ["kept"]
    assert missing["fatal_error"] == {"code": "FILE_NOT_FOUND", "description": "file not found"}
    assert (missing["faults"], missing["subtasks_failed"]) == (1, 1)
    assert delete("/none", ignore_missing=True)["status"] == "SUCCEEDED"
