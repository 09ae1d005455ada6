"""Unattended for years, in short: what grows stays bounded, and what was delivered stays known."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from suite import Route
from terminal import on_a_terminal

from autotransfer.datastore import history
from autotransfer.datastore.tasks import EndedTask
from emulator.http.server import Emulator
from prove.years import LOG_MAX_BYTES, STEP_HOURS, findings
from prove.years.route import Years


def test_hundreds_of_runs_leave_bounded_files_and_every_delivery_known(
    tmp_path: Path, globus: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few, so that hundreds of runs do what takes thousands otherwise.
    monkeypatch.setattr(history, "KEPT_WHOLE", 20)
    monkeypatch.setattr(history, "SWEPT_FROM", 100)
    years = Years(tmp_path / "route", globus, random.Random(7), LOG_MAX_BYTES)

    with years.aimed():
        lived = years.live(160, step_hours=STEP_HOURS)

    assert findings(years, lived, most_datastore_bytes=500_000) == []
    assert lived.tasks > 200
    assert lived.bad_tasks > 0
    assert lived.refused_runs > 0
    assert lived.refreshes > 10
    assert len(years.known) > 60
    with years.records() as records:
        tasks = list(records.history())
        assert any(isinstance(task, EndedTask) for task in tasks)
        assert len(tasks) < lived.tasks


def test_runs_of_cron_keep_the_log_within_its_limit(tmp_path: Path, globus: Emulator) -> None:
    years = Years(tmp_path / "route", globus, random.Random(8), LOG_MAX_BYTES)
    log = years.route.code_path / "log"
    log.write_text("x" * (LOG_MAX_BYTES - 1500) + "\n")

    lived = years.live(8, step_hours=STEP_HOURS, by_cron=True)

    assert findings(years, lived, most_datastore_bytes=500_000) == []
    assert years.size_bytes("log.1") >= LOG_MAX_BYTES
    assert 0 < years.size_bytes("log") < LOG_MAX_BYTES


def test_a_token_that_is_found_expired_after_another_fault_is_renewed_and_nobody_is_called(
    route: Route, globus: Emulator
) -> None:
    # The SDK renews it only when the first answer to a request says so.
    route.configure(CLIENT_SECRET_FILE="")
    on_a_terminal(route, "test_config.py")
    globus.world.change_auth(expire_access_tokens=True)
    fault = globus.world.add_fault("GET /v0.10/endpoint/*", status=503)
    route.write("a.dat")

    summary = route.deliver()

    assert fault.times == 0
    assert (summary["status"], summary["delivered"]) == (0, 1)
