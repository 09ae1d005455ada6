"""Globus Timers, through the real SDK and on the movable clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from emulator.auth import RESEARCHER
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
