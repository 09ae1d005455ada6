"""The emulator on a shared machine: it serves who was given its address, writes where that was said, and no page."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from suite import DST_ID, ROOT, SRC_ID

from emulator.__main__ import parse_collection
from emulator.http.server import SERVICES, Emulator

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
ROUTES = ["", "_emulator/state", "v0.10/submission_id", "v2/oauth2/token", ".well-known/openid-configuration", "jobs/"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("prefix", ["", "wrong/", "{}x/", "{}"])
def test_who_does_not_know_the_secret_is_refused_everywhere(globus: Emulator, route: str, prefix: str) -> None:
    base, secret = globus.url.rstrip("/").rsplit("/", 1)
    for method in ("GET", "POST"):
        answer = requests.request(method, f"{base}/{prefix.format(secret)}{route}", json={}, timeout=60)
        assert answer.status_code == 403 and secret not in answer.text
    assert globus.world.requests == []


def test_each_run_has_a_secret_of_its_own(globus: Emulator) -> None:
    with Emulator() as other:
        ours, theirs = (one.url.rstrip("/").rsplit("/", 1)[1] for one in (globus, other))

    assert ours != theirs and len(ours) >= 32


def test_a_file_with_the_address_is_for_its_owner_alone(tmp_path: Path) -> None:
    variables = tmp_path / "globus.env"
    variables.touch(0o644)
    words = ["--collection", f"{SRC_ID}={tmp_path}", "--collection", f"{DST_ID}={tmp_path}"]
    with variables.open("w") as stdout:
        program = subprocess.Popen(
            [sys.executable, "-m", "emulator", *words], cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE
        )
    assert program.stderr is not None and program.stderr.readline().startswith(b"Serving")
    program.terminate()
    program.communicate(timeout=60)

    assert "GLOBUS_SDK_SERVICE_URL_AUTH" in variables.read_text()
    assert variables.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Host": "user@127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
    ids=str,
)
def test_a_page_of_another_site_is_refused_even_with_the_secret(globus: Emulator, headers: dict[str, str]) -> None:
    answer = requests.post(f"{globus.url}_emulator/progress", json={"mode": "polls:9"}, headers=headers, timeout=60)

    assert answer.status_code == 403
    assert str(globus.world.queue.progress) == "immediate"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_every_name_of_loopback_is_served_and_so_are_its_own_pages(globus: Emulator, name: str) -> None:
    host = f"{name}:{urlsplit(globus.url).port}"

    for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}"}):
        assert requests.get(f"{globus.url}_emulator/state", headers=headers, timeout=60).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", FORM, f"{FORM}; x={JSON}", "", None])
@pytest.mark.parametrize("route", ["_emulator/progress", "v0.10/transfer", "jobs/"])
def test_a_body_that_a_page_can_send_is_not_taken(globus: Emulator, route: str, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}

    answer = requests.post(globus.url + route, data=b'{"mode": "polls:9"}', headers=headers, timeout=60)

    assert answer.status_code == 415
    assert str(globus.world.queue.progress) == "immediate"


def test_services_that_are_not_imitated_end_here_too(globus: Emulator) -> None:
    variables = globus.environment()

    for name in SERVICES:
        assert variables[f"GLOBUS_SDK_SERVICE_URL_{name}"] == globus.url
    for path in ("v2/groups/my_groups", "v1/index/x/search", "flows", "v3/endpoints"):
        assert requests.get(globus.url + path, timeout=60).status_code == 501


@pytest.mark.parametrize(
    ("around", "kept"),
    [
        ({}, "127.0.0.1"),
        ({"NO_PROXY": "a.org, b.org"}, "a.org,b.org,127.0.0.1"),
        ({"NO_PROXY": "a.org", "no_proxy": "b.org,127.0.0.1"}, "a.org,b.org,127.0.0.1"),
        ({"no_proxy": "*"}, "*"),
    ],
    ids=str,
)
def test_what_was_exempt_from_proxies_stays_so(globus: Emulator, around: dict[str, str], kept: str) -> None:
    variables = globus.environment(around)

    assert set(variables["NO_PROXY"].split(",")) == set(kept.split(","))
    assert variables["no_proxy"] == variables["NO_PROXY"]


# ---- writing -----------------------------------------------------------------------------------------------------


class Folders:
    """A program that serves one folder without `write` and one with it, and a client of it."""

    def __init__(self, folder: Path) -> None:
        self.kept, self.open = folder / "kept", folder / "open"
        for each in (self.kept, self.open):
            each.mkdir()
            (each / "old").write_text("old")
        words = ["--collection", f"{SRC_ID}={self.kept}", "--collection", f"{DST_ID}={self.open},write,name=Open"]
        self._program = subprocess.Popen(
            [sys.executable, "-m", "emulator", *words],
            cwd=ROOT,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._program.stdout is not None
        self.url = self._program.stdout.readline().strip().partition("=")[2]
        form = {"grant_type": "client_credentials", "scope": "urn:globus:auth:scope:transfer.api.globus.org:all"}
        client = ("aaaaaaaa-0000-4000-8000-00000000000c", "any")
        token = requests.post(f"{self.url}v2/oauth2/token", data=form, auth=client, timeout=60).json()["access_token"]
        self._headers = {"Authorization": f"Bearer {token}"}

    def stop(self) -> None:
        self._program.terminate()
        self._program.communicate(timeout=60)

    def post(self, path: str, document: Any) -> requests.Response:
        return requests.post(f"{self.url}v0.10/{path}", json=document, headers=self._headers, timeout=60)

    def task(self, kind: str, **fields: Any) -> str:
        """The status of the task that was submitted, once it was asked for."""
        document = {"DATA_TYPE": kind, "submission_id": str(uuid.uuid4()), **fields}
        accepted = self.post(kind, document).json()
        task_url = f"{self.url}v0.10/task/{accepted['task_id']}"
        return str(requests.get(task_url, headers=self._headers, timeout=60).json()["status"])

    def transfer(self, destination: str, item: dict[str, Any], **fields: Any) -> str:
        ends = {"source_endpoint": DST_ID, "destination_endpoint": destination}
        return self.task("transfer", DATA=[{"DATA_TYPE": "transfer_item", **item}], **ends, **fields)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    found = Folders(tmp_path)
    yield found
    found.stop()


@pytest.mark.parametrize(
    "item",
    [
        {"source_path": "/new", "destination_path": "/new"},
        {"source_path": "/new", "destination_path": "/old"},
        {"source_path": "/new", "destination_path": "/sub/new"},
        {"source_path": "/", "destination_path": "/", "recursive": True},
        {"DATA_TYPE": "transfer_symlink_item", "source_path": "/link", "destination_path": "/link"},
    ],
    ids=str,
)
@pytest.mark.parametrize("options", [{}, {"delete_destination_extra": True}, {"recursive_symlinks": "keep"}], ids=str)
def test_a_task_never_changes_a_folder_without_write(
    folders: Folders, item: dict[str, Any], options: dict[str, Any]
) -> None:
    for name in ("link", "old"):
        (folders.open / name).unlink(missing_ok=True)
        (folders.open / name).symlink_to("/etc/passwd")
    if not options.get("recursive_symlinks"):
        (folders.open / "old").unlink()
        (folders.open / "new").write_text("new")

    assert folders.transfer(SRC_ID, item, **(options if item.get("recursive") else {})) != "SUCCEEDED"

    assert {path.name: path.read_text() for path in folders.kept.iterdir()} == {"old": "old"}


def test_no_other_request_changes_it_either(folders: Folders) -> None:
    items = [{"DATA_TYPE": "delete_item", "path": "/old"}]
    assert folders.task("delete", endpoint=SRC_ID, DATA=items) != "SUCCEEDED"
    for name, fields in (("mkdir", {"path": "/made"}), ("rename", {"old_path": "/old", "new_path": "/renamed"})):
        asked = folders.post(f"operation/endpoint/{SRC_ID}/{name}", {"DATA_TYPE": name, **fields})
        assert asked.status_code == 403

    assert {path.name: path.read_text() for path in folders.kept.iterdir()} == {"old": "old"}


def test_an_empty_folder_can_be_written_without_saying_so_and_any_other_cannot(tmp_path: Path) -> None:
    """There is nothing in it that could be replaced."""
    for name in ("empty", "full/below"):
        (tmp_path / name).mkdir(parents=True)

    found = {name: parse_collection(f"{SRC_ID}={tmp_path / name}").read_only for name in ("empty", "full")}

    assert found == {"empty": False, "full": True}
    assert parse_collection(f"{SRC_ID}=/").read_only


def test_a_folder_with_write_is_changed(folders: Folders) -> None:
    assert folders.transfer(DST_ID, {"source_path": "/old", "destination_path": "/sub/copy"}) == "SUCCEEDED"

    assert (folders.open / "sub/copy").read_text() == "old"
