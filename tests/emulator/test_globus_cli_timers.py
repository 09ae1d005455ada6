"""The real `globus timer` commands, unchanged, work against the emulator."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.emulator.conftest import CommandLine

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
MAPPED = "5a0c9d5e-0000-4000-8000-000000000003"


def field(shown: str, name: str) -> str:
    """The value beside a name in what the command line prints."""
    found = re.search(rf"^{name}:\s+(.*)$", shown, re.MULTILINE)
    assert found, shown
    return found.group(1).strip()


def test_a_timer_lives_through_all_commands(globus_cli: CommandLine) -> None:
    world = globus_cli.globus.world
    (globus_cli.folder / "source/f").write_text("four")
    ends = [f"{SOURCE}:/", f"{DESTINATION}:/copy/", "--recursive", "--sync-level", "checksum"]
    made = globus_cli(
        *("timer", "create", "transfer", *ends, "--interval", "1h", "--stop-after-runs", "9"),
        *("--name", "Hourly", "--label", "From a timer", "--exclude", "*.tmp"),
    )
    timer_id = field(made, "Timer ID")
    world.advance_clock(2 * 3600)
    shown = globus_cli("timer", "show", timer_id)
    paused = globus_cli("timer", "pause", timer_id)
    world.advance_clock(3600)
    listed = globus_cli("timer", "list")
    resumed = globus_cli("timer", "resume", timer_id)
    runs = len(world.tasks)
    deleted = globus_cli("timer", "delete", timer_id)
    world.advance_clock(3 * 3600)

    assert (field(made, "Type"), field(made, "Status"), field(made, "Number of Runs")) == ("transfer", "new", "0")
    assert "every 3600 seconds" in field(made, "Schedule") and "9 iterations" in field(made, "Schedule")
    assert (field(shown, "Type"), field(shown, "Status"), field(shown, "Interval")) == ("Transfer", "loaded", "1:00:00")
    assert (field(shown, "Number of Runs"), field(shown, "Stop After Number of Runs")) == ("3", "9")
    assert "Awaiting the next run" in field(shown, "Activity")
    assert paused.strip() == f"Successfully paused job {timer_id}."
    assert (field(listed, "Name"), field(listed, "Status")) == ("Hourly", "inactive")
    assert field(listed, "Activity") == "Paused, awaiting user action"
    assert resumed.strip() == f"Successfully resumed job {timer_id}."
    assert (runs, len(world.tasks)) == (4, 4)
    assert field(deleted, "Status") == "deleted"
    assert (globus_cli.folder / "destination/copy/f").read_text() == "four"


def test_a_timer_asks_for_the_consent_it_needs_and_for_a_session_that_expired(globus_cli: CommandLine) -> None:
    world = globus_cli.globus.world
    (globus_cli.folder / "source/g").write_text("four")
    create = ["timer", "create", "transfer", f"{SOURCE}:/g", f"{MAPPED}:/g", "--interval", "1d"]
    refused = globus_cli(*create, status=4)
    asked = re.search(r"globus session consent (--timer-data-access) '([^']+)'", refused)
    assert asked, refused
    globus_cli.login("session", "consent", "--no-local-server", *asked.groups())
    too_late = globus_cli(*create, "--start", "2999-01-01", status=1)
    timer_id = globus_cli.json(*create)["job_id"]
    world.change_auth(session_expired=[MAPPED])
    world.advance_clock(86_400)
    expired = globus_cli("timer", "resume", timer_id, status=4)
    world.change_auth(session_expired=[])
    globus_cli("timer", "resume", "--skip-inactive-reason-check", timer_id)

    timer = world.timers.timers[timer_id]
    assert asked.group(2) == MAPPED
    assert "within one year" in too_late
    assert f"globus timer resume --skip-inactive-reason-check {timer_id}" in expired
    assert (globus_cli.folder / "mapped/g").read_text() == "four"
    assert (timer.status, timer.n_runs, timer.n_errors) == ("loaded", 2, 1)
