"""The samples for systemd are units that systemd takes, of a service that may write its own state only."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs import find, needs
from suite import ROOT

ANALYZE = find("systemd-analyze")
UNITS = ("globus-transfer@.service", "globus-transfer@.timer")

pytestmark = needs("systemd-analyze")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with both samples, for a checkout here instead of in /opt/transfer."""
    for name in UNITS:
        text = (ROOT / "samples" / name).read_text(encoding="utf-8")
        text = text.replace("/opt/transfer/.venv/bin/python", sys.executable).replace("/opt/transfer", str(ROOT))
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def analyze(*words: str, folder: Path) -> str:
    """What systemd-analyze says."""
    assert ANALYZE
    done = subprocess.run([ANALYZE, *words], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr + (f"ended with {done.returncode}" if done.returncode else "")


def verified(folder: Path) -> str:
    """What systemd has against the units; the instance is that of the sample's comment."""
    return analyze("verify", "--man=no", *(f"./{name.replace('@', '@run7')}" for name in UNITS), folder=folder)


def test_systemd_has_nothing_against_the_samples(units: Path) -> None:
    assert verified(units) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("ProtectSystem=strict", "ProtectSytem=strict"),
        (f"ExecStart={sys.executable}", "ExecStart=/no/such/python"),
    ],
)
def test_a_mistake_in_a_unit_would_be_found(units: Path, right: str, wrong: str) -> None:
    service = units / UNITS[0]
    text = service.read_text(encoding="utf-8")
    service.write_text(text.replace(right, wrong), encoding="utf-8")

    assert right in text
    assert verified(units) != ""


def test_the_service_is_shut_off_from_what_it_does_not_need(units: Path) -> None:
    said = analyze("security", "--offline=true", "--no-pager", "./globus-transfer@.service", folder=units)

    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+) (\w+)", said)
    if exposure is None and "--offline" in said:
        pytest.skip("this systemd-analyze cannot judge a unit that is not installed")
    assert exposure, said
    assert float(exposure[1]) < 4


def test_the_timer_starts_a_run_every_five_minutes(units: Path) -> None:
    schedule = re.search(r"^OnCalendar=(.+)$", (units / UNITS[1]).read_text(encoding="utf-8"), re.MULTILINE)

    assert schedule
    assert "Normalized form: *-*-* *:00/5:00" in analyze("calendar", schedule[1], folder=units)
