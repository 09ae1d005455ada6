"""Debian's cron starts the README's crontab line. (`python -m prove cron` does it minute by minute.)

Cron runs an @reboot line at its own start, so that no test need wait for the next minute.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_cron import RealCron, crontab_of_the_readme, why_not
from suite import Route
from waiting import LONGEST_WAIT_SECONDS

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
AT_ONCE = crontab_of_the_readme("@reboot")


def test_cron_runs_the_line_of_the_readme_and_mails_nothing_when_all_is_well(route: Route, tmp_path: Path) -> None:
    route.write("scan1/frame 1 Übersicht.tif", "a frame")

    with RealCron(route, AT_ONCE, tmp_path) as cron:
        line = cron.wait_for_run(1, seconds=LONGEST_WAIT_SECONDS)
        mails = cron.mails()

    assert "status=0 " in line
    assert route.tree(route.dst) == route.tree()
    assert mails == []


def test_cron_mails_a_problem_once_with_what_to_do(route: Route, tmp_path: Path) -> None:
    route.write("good.tif")
    route.write(os.fsdecode(b"bad \xff.tif"))

    with RealCron(route, AT_ONCE, tmp_path) as cron:
        line = cron.wait_for_run(1, seconds=LONGEST_WAIT_SECONDS)
        (mail,) = cron.mails()

    head, _, body = mail.partition("\n\n")
    assert "status=3 " in line
    assert "To: beamline-staff@example.org" in head.splitlines()
    assert "/opt/transfer/main.py" in next(each for each in head.splitlines() if each.startswith("Subject:"))
    bad = f"Skipped {route.src}/bad \\xff.tif: its name is not UTF-8, so Globus cannot carry it; rename it."
    assert body.splitlines() == [bad, "Service: local, not Globus."]
