"""The real `globus timer` commands and timer.py, side by side on one emulator: each shows what the other made.

The command line needs its own environment (it pins another SDK): GLOBUS_CLI names the program, or it is
`.venv-cli/bin/globus`.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from programs import GLOBUS, find, needs
from suite import DST_ID, SRC_ID, Route

from emulator.http.server import Emulator
from emulator.world import Collection

CLI = find(GLOBUS)
HOUR = 3600

pytestmark = needs(GLOBUS)


class Both:
    """The two command lines of one person: `globus`, and a route's timer.py."""

    def __init__(self, folder: Path, globus: Emulator) -> None:
        self.globus = globus
        self.route = Route(folder, globus)
        self.route.configure(CLIENT_SECRET_FILE="", LABEL="by timer.py")
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        (folder / "home").mkdir()
        self.environment = {**kept, **globus.environment(), "HOME": str(folder / "home"), "COLUMNS": "200"}

    def cli(self, *arguments: str, status: int = 0) -> str:
        """Run `globus`; gives its output."""
        done = subprocess.run([str(CLI), *arguments], capture_output=True, text=True, env=self.environment, timeout=60)
        assert done.returncode == status, done.stdout + done.stderr + self.route.calls()
        return done.stdout + done.stderr

    def cli_json(self, *arguments: str) -> Any:
        """Run `globus` with JSON output."""
        return json.loads(self.cli(*arguments, "-F", "json"))

    def job(self, *words: str) -> Any:
        """Run `timer.py job` with JSON output."""
        return self.route.run("timer.py", "job", *words, "--json").json

    def sign_in(self) -> None:
        """Sign in with both."""
        type_code([str(CLI), "login", "--no-local-server"], self.environment)
        type_code(self.route.command("timer.py", "session", "login"), self.route.bare_environment())


def type_code(words: list[str], environment: dict[str, str]) -> None:
    """Run a login on a terminal, and do what the person at the browser does."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "dumb"}, start_new_session=True
    )
    os.close(theirs)
    said = ""
    try:
        while not re.search(r"[Cc]ode(\s+here)?: *$", said):
            said += os.read(ours, 65536).decode()
        link = re.search(r"http://\S+/v2/oauth2/authorize\S+", said)
        assert link, said
        page = requests.get(link[0], timeout=60).text
        code = re.search(r'<code id="auth-code">([^<]+)</code>', page)
        assert code, page
        os.write(ours, code[1].encode() + b"\n")
        with pytest.raises(OSError):  # what Linux says when the other end is closed
            while True:
                os.read(ours, 65536)
        assert program.wait(timeout=60) == 0, said
    finally:
        program.kill()
        program.wait()
        os.close(ours)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The two command lines, signed in once for all tests here."""
    ends = [
        Collection(id=SRC_ID, root=Path("/"), name="Beamline"),
        Collection(id=DST_ID, root=Path("/"), name="Archive"),
    ]
    with Emulator(ends) as globus:
        both = Both(tmp_path_factory.mktemp("both"), globus)
        both.sign_in()
        both.route.write("a.txt", "one")
        yield both


def shown(text: str) -> dict[str, str]:
    """The titles and values that a command shows."""
    return {title.strip(): value.strip() for title, _, value in (line.partition(":") for line in text.splitlines())}


def test_a_timer_of_globus_is_shown_and_managed_by_timer_py(both: Both) -> None:
    ends = (f"{SRC_ID}:{both.route.src}/", f"{DST_ID}:{both.route.folder}/by globus/")
    created = both.cli_json(
        *("timer", "create", "transfer", *ends, "--recursive", "--name", "by globus", "--label", "L"),
        *("--interval", "90m", "--sync-level", "checksum", "--stop-after-runs", "5"),
    )
    job_id = created["job_id"]
    both.globus.world.advance()

    row = shown(both.route.run("timer.py", "job", "status", job_id).stdout)
    (paused,) = both.job("pause", job_id)
    inactive = both.cli("timer", "show", job_id)
    both.job("resume", job_id)
    both.job("update", job_id, "--name", "renamed")

    assert (row["Name"], row["Job ID"], row["Interval"], row["Stop After"]) == ("by globus", job_id, "1h30m", "5 runs")
    assert (row["Status"], row["Runs"]) == ("loaded (runs on schedule)", "1")
    assert row["Last Result"] == "SUCCEEDED: 1 file copied, 3 bytes"
    assert paused["inactive_reason"]["cause"] == "user"
    assert re.search(r"Status:\s+inactive", inactive)
    assert "renamed" in both.cli("timer", "list")
    assert both.job("delete", job_id)[0]["status"] == "deleted"
    assert job_id not in both.cli("timer", "list")


def test_a_timer_of_timer_py_is_shown_and_managed_by_globus(both: Both) -> None:
    end = (datetime.now() + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%S")
    job_id = both.job("transfer", "--interval", "1h", "--stop-after-date", end)["job_id"]
    both.globus.world.advance_clock(HOUR + 1)

    row = shown(both.cli("timer", "show", job_id))
    paused = both.cli("timer", "pause", job_id)
    inactive = shown(both.route.run("timer.py", "job", "status", job_id).stdout)
    resumed = both.cli("timer", "resume", job_id)
    active = shown(both.route.run("timer.py", "job", "status", job_id).stdout)

    assert (row["Timer ID"], row["Name"], row["Type"]) == (job_id, "by timer.py", "Transfer")
    assert (row["Interval"], row["Number of Runs"], row["Number of Timer Errors"]) == ("1:00:00", "2", "0")
    assert row["Stop After Date"].startswith(end[:10])
    assert "Successfully paused" in paused
    assert inactive["Inactive"].startswith("paused by a person")
    assert "Successfully resumed" in resumed
    assert active["Status"] == "loaded (runs on schedule)"
    both.cli("timer", "delete", job_id)
    assert shown(both.route.run("timer.py", "job", "status", job_id).stdout)["Status"].startswith(
        "deleted (will not run again"
    )
    assert both.job("list") == []


def test_what_both_lack_is_reported_by_both(both: Both) -> None:
    job_id = both.job("transfer", "--interval", "1h")["job_id"]
    both.globus.world.change_collection(DST_ID, type="mapped")
    both.globus.world.advance_clock(HOUR + 1)

    refused = both.cli("timer", "create", "transfer", f"{SRC_ID}:/x", f"{DST_ID}:/y", "--interval", "1h", status=4)
    inactive = both.cli("timer", "show", job_id)
    result = both.route.run("timer.py", "job", "status", job_id, status=3)

    assert f"--timer-data-access '{DST_ID}'" in refused
    assert re.search(r"Status:\s+inactive", inactive)
    assert "Missing required data_access consent" in result.stdout
