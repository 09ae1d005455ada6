"""What collections allow and show: quota, permission, consent, connection, listings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
import requests

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


def test_a_full_collection_stalls_or_fails_as_asked(
    globus: Emulator, copy: Copy, three_files: list[tuple[str, str]], destination: Path
) -> None:
    globus.world.change_collection(DESTINATION, quota_bytes=7)

    stuck = copy(*three_files)
    failed = copy(("/a", "/again"), fail_on_quota_errors=True)

    assert (stuck["status"], stuck["nice_status"], stuck["files_transferred"]) == ("ACTIVE", "QUOTA_EXCEEDED", 2)
    assert (failed["status"], failed["fatal_error"]["code"]) == ("FAILED", "QUOTA_EXCEEDED")


def test_a_read_only_collection_denies_writing(
    globus: Emulator, copy: Copy, transfer: globus_sdk.TransferClient, three_files: list[tuple[str, str]]
) -> None:
    globus.world.change_collection(DESTINATION, read_only=True)

    assert copy(*three_files, skip_source_errors=True)["nice_status"] == "PERMISSION_DENIED"
    assert refused(transfer.operation_mkdir, DESTINATION, "/d").code == "EndpointPermissionDenied"


def test_a_personal_endpoint_that_is_away_is_said_to_be(
    globus: Emulator, submit: Submit, transfer: globus_sdk.TransferClient, three_files: list[tuple[str, str]]
) -> None:
    globus.world.set_progress("polls:2")
    task_id = submit(*three_files)
    globus.world.change_collection(SOURCE, gcp_connected=False)

    cut_off = transfer.get_task(task_id)
    assert (cut_off["status"], cut_off["nice_status"]) == ("ACTIVE", "GC_NOT_CONNECTED")
    assert refused(submit, ("/b", "/x")).http_status == 409
    assert refused(transfer.operation_ls, SOURCE).code == "ExternalError.DirListingFailed.GCDisconnected"
    assert transfer.get_endpoint(SOURCE)["gcp_connected"] is False

    globus.world.change_collection(SOURCE, gcp_connected=True, gcp_paused=True)
    assert transfer.get_task(task_id)["nice_status"] == "GC_PAUSED"
    globus.world.change_collection(SOURCE, gcp_paused=False)
    assert transfer.get_task(task_id)["status"] == "SUCCEEDED"


def test_only_a_mapped_server_collection_demands_a_data_access_consent(
    transfer: globus_sdk.TransferClient, submit: Submit, globus: Emulator
) -> None:
    error = refused(transfer.operation_ls, MAPPED)
    assert (error.http_status, error.code) == (403, "ConsentRequired")
    assert error.info.consent_required.required_scopes == [
        f"urn:globus:auth:scope:transfer.api.globus.org:all[*https://auth.globus.org/scopes/{MAPPED}/data_access]"
    ]
    assert refused(submit, ("/a", "/a"), destination_endpoint=MAPPED).code == "ConsentRequired"
    for other in (SOURCE, GUEST):
        transfer.operation_ls(other, path="/")

    globus.world.change_collection(MAPPED, high_assurance=True)
    transfer.operation_ls(MAPPED, path="/")


def test_an_expired_session_names_whom_to_sign_in(globus: Emulator, transfer: globus_sdk.TransferClient) -> None:
    globus.world.change_auth(session_expired=[GUEST])

    error = refused(transfer.operation_ls, GUEST)

    assert error.http_status == 403
    assert error.info.authorization_parameters.session_required_identities


def test_files_are_listed_with_order_paging_and_filters(transfer: globus_sdk.TransferClient, source: Path) -> None:
    for name in ("b.txt", "a.dat", ".hidden"):
        (source / name).write_text(name)
    (source / "sub").mkdir()
    with open(os.fsencode(source) + b"/bad\xe9", "wb"):
        pass

    def names(**options: Any) -> list[str]:
        return [entry["name"] for entry in transfer.operation_ls(SOURCE, path="/", **options)]

    assert names() == ["sub", ".hidden", "a.dat", "b.txt", "\ufffdbad\xe9"]
    assert names(show_hidden=False, filter="type:file/name:~*.txt") == ["b.txt"]
    assert names(orderby="name DESC", limit=1, offset=1, filter="name:!~*bad*") == ["b.txt"]
    assert transfer.operation_stat(SOURCE, "/\ufffdbad\xe9")["size"] == 0
    assert transfer.operation_stat(SOURCE, "/sub")["type"] == "dir"
    assert refused(transfer.operation_ls, SOURCE, path="/none").code == "ClientError.NotFound"
    assert "NotDirectory" in str(refused(transfer.operation_ls, SOURCE, path="/b.txt").code)
    assert "Exists" in str(refused(transfer.operation_mkdir, SOURCE, "/sub").code)


def test_what_is_not_built_says_so_by_name(globus: Emulator, bearer: Callable[..., str]) -> None:
    for method, path in (
        ("PUT", "jobs/"),
        ("GET", "v0.10/bookmark_list"),
        ("GET", "v2/api/projects"),
    ):
        reply = requests.request(method, globus.url + path, timeout=60)

        assert reply.status_code == 501
        assert f"{method} /{path.rstrip('/')}" in reply.json()["message"]
