"""What the tests of the emulator share: an emulator with four collections, and the real SDK aimed at it.

`globus_cli` is the real command line at an emulator of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
import requests
from programs import GLOBUS, find, path_of

from emulator.auth.scopes import TIMER, TRANSFER_ALL, parse_scopes
from emulator.auth.state import RESEARCHER
from emulator.http.server import Emulator
from emulator.world import Collection

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
MAPPED = "5a0c9d5e-0000-4000-8000-000000000003"
GUEST = "5a0c9d5e-0000-4000-8000-000000000004"
CLIENT = "5a0c9d5e-0000-4000-8000-00000000000c"
ROOT = Path(__file__).resolve().parents[2]
CLI = find(GLOBUS)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The folder behind the collection "Instrument"."""
    folder = tmp_path / "instrument"
    folder.mkdir()
    return folder


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """The folder behind the collection "Archive"."""
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


@pytest.fixture
def globus(source: Path, destination: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator with a source, a destination, a mapped collection and a guest on it; the SDK is aimed at it."""
    mapped = tmp_path / "mapped"
    (mapped / "shared").mkdir(parents=True)
    collections = [
        Collection(id=SOURCE, root=source, name="Instrument"),
        Collection(id=DESTINATION, root=destination, name="Archive"),
        Collection(id=MAPPED, root=mapped, type="mapped", name="Cluster", description="A cluster's disk"),
        Collection(id=GUEST, type="guest", host_id=MAPPED, subfolder="/shared", name="Shared"),
    ]
    with Emulator(collections) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
def bearer(globus: Emulator) -> Callable[..., str]:
    """Makes access tokens for the researcher, without a login."""

    def make(scope: str = TRANSFER_ALL, identity_id: str = RESEARCHER.id) -> str:
        auth = globus.world.auth
        auth.access_token_lifetime_seconds = 10**9  # tests move the clock
        scopes = parse_scopes(scope)
        auth.consents.grant(identity_id, CLIENT, scopes, at=globus.world.clock.now(), allows_refresh=True)
        value: str = auth.grant(CLIENT, identity_id, scopes, is_offline=False)["access_token"]
        return value

    return make


@pytest.fixture
def transfer(bearer: Callable[..., str]) -> Iterator[globus_sdk.TransferClient]:
    """The SDK's Transfer client, signed in as the researcher; it does not retry."""
    with globus_sdk.TransferClient(authorizer=globus_sdk.AccessTokenAuthorizer(bearer())) as client:
        client.retry_config.max_retries = 0
        yield client


@pytest.fixture
def submit(transfer: globus_sdk.TransferClient) -> Callable[..., str]:
    """Submits (source, destination[, recursive]) items; `fields` replace what the SDK made; gives the task_id."""

    def post(
        *items: tuple[Any, ...], submission_id: str | None = None, fields: dict[str, Any] | None = None, **options: Any
    ) -> str:
        document = globus_sdk.TransferData(
            source_endpoint=options.pop("source_endpoint", SOURCE),
            destination_endpoint=options.pop("destination_endpoint", DESTINATION),
            submission_id=submission_id or str(uuid.uuid4()),
            **options,
        )
        for item in items:
            recursive = item[2] if len(item) > 2 else globus_sdk.MISSING
            document.add_item(item[0], item[1], recursive=recursive)
        document.update(fields or {})
        task_id: str = transfer.submit_transfer(document)["task_id"]
        return task_id

    return post


@pytest.fixture
def copy(transfer: globus_sdk.TransferClient, submit: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """Submits as `submit` does; gives the task's document afterwards."""

    def post(*items: tuple[Any, ...], **options: Any) -> dict[str, Any]:
        document: dict[str, Any] = transfer.get_task(submit(*items, **options)).data
        return document

    return post


def timer_body(items: tuple[tuple[Any, ...], ...] = (("/", "/copy/", True),), **options: Any) -> Any:
    options = {"source_endpoint": SOURCE, "destination_endpoint": DESTINATION, "sync_level": "mtime", **options}
    body = globus_sdk.TransferData(**options)
    for item in items:
        body.add_item(item[0], item[1], recursive=item[2] if len(item) > 2 else globus_sdk.MISSING)
    return body


@pytest.fixture
def timers(bearer: Callable[..., str]) -> Iterator[globus_sdk.TimersClient]:
    """The SDK's Timers client, signed in as the researcher; it does not retry."""
    with globus_sdk.TimersClient(authorizer=globus_sdk.AccessTokenAuthorizer(bearer(TIMER))) as client:
        client.retry_config.max_retries = 0
        yield client


@pytest.fixture
def create(timers: globus_sdk.TimersClient, source: Path) -> Callable[..., dict[str, Any]]:
    """Makes an hourly timer for the whole source (or as told); gives its document."""
    (source / "first").write_text("first")

    def make(
        schedule: Any = None, *, items: tuple[tuple[Any, ...], ...] = (("/", "/copy/", True),), **options: Any
    ) -> dict[str, Any]:
        body = timer_body(items, **options)
        schedule = schedule or globus_sdk.RecurringTimerSchedule(3600)
        timer = globus_sdk.TransferTimer(name="nightly", schedule=schedule, body=body)
        document: dict[str, Any] = timers.create_timer(timer)["timer"]
        return document

    return make


class CommandLine:
    """Runs `globus` as a person of its own, signed in at an emulator of its own."""

    def __init__(self, globus: Emulator, folder: Path) -> None:
        self.globus = globus
        self.folder = folder
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.environment = {**kept, **globus.environment(), "HOME": str(folder / "home"), "COLUMNS": "200"}
        (folder / "home").mkdir()

    def __call__(self, *arguments: str, status: int = 0, text: str = "") -> str:
        done = subprocess.run(
            [str(CLI), *arguments],
            input=text,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
            check=False,
        )
        asked = [f"{entry.method} {entry.path} {entry.status}" for entry in self.globus.world.requests[-8:]]
        assert done.returncode == status, "\n".join([done.stdout, done.stderr, *asked])
        return done.stdout if status == 0 else done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        """Run with JSON output."""
        return json.loads(self(*arguments, "-F", "json"))

    def login(self, *arguments: str) -> str:
        """Sign in: read the address, do what the person at the browser does, type the code."""
        with subprocess.Popen(
            [str(CLI), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        ) as program:
            assert program.stdin is not None and program.stdout is not None
            said = ""
            while "http" not in said:
                line = program.stdout.readline()
                assert line, said
                said = line
            page = requests.get(said.strip(), timeout=60).text
            code = re.search(r'<code id="auth-code">([^<]+)</code>', page)
            assert code, page
            rest, _ = program.communicate(code.group(1) + "\n", timeout=60)
            assert program.returncode == 0, rest
        return rest


@pytest.fixture(scope="module")
def globus_cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command line, signed in once for all tests of a module."""
    path_of(GLOBUS)
    folder = tmp_path_factory.mktemp("cli")
    for name in ("source", "destination", "mapped"):
        (folder / name).mkdir()
    collections = [
        Collection(id=SOURCE, root=folder / "source", name="Instrument"),
        Collection(id=DESTINATION, root=folder / "destination", name="Archive"),
        Collection(id=MAPPED, root=folder / "mapped", type="mapped", name="Cluster"),
    ]
    with Emulator(collections) as globus:
        cli = CommandLine(globus, folder)
        cli.login("login", "--no-local-server")
        yield cli
