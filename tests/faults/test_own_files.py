"""What lies where our own files should be: one clear message, and never a hang, a bug or a run through a link."""

from __future__ import annotations

import os
import re
import resource
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty import FaultCheck
from suite import Route
from terminal import sign_in
from waiting import until, until_held

from emulator.http.server import Emulator


def make_link(path: Path) -> None:
    path.symlink_to("/nonexistent/elsewhere")


@pytest.mark.parametrize("name", ["lock", "log", "datastore"])
@pytest.mark.parametrize(
    ("make", "kind"),
    [(make_link, "symbolic link"), (Path.mkdir, "folder"), (os.mkfifo, "pipe")],
    ids=["link", "folder", "pipe"],
)
def test_something_else_in_the_place_of_our_file_is_named(
    route: Route, name: str, make: Callable[[Path], None], kind: str
) -> None:
    path = route.code_path / name
    make(path)

    result = route.run("main.py", status=5, says=f"{path} is a")
    checked = route.run("test_config.py", "--no-login", status=5, says=f"{path} is a")

    assert kind in result.stderr
    assert kind in checked.stdout


@pytest.mark.fault(
    "tokens.db is a symbolic link",
    sees="/tokens.db is a symbolic link, which is not followed here. Move it away",
    status=5,
    recorded="nothing",
)
def test_a_login_is_never_opened_through_a_link(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    sign_in(route_of_a_person(route))
    (route.folder / "elsewhere").mkdir()
    kept = (route.code_path / "tokens.db").rename(route.folder / "elsewhere/tokens.db")
    kept.chmod(0o644)
    (route.code_path / "tokens.db").symlink_to(kept)
    before = kept.read_bytes()

    fault.check(route.run("main.py", "-v", status=None), route)

    for words in (["timer.py", "session", "logout"], ["timer.py", "job", "list"]):
        route.run(*words, status=5, says="tokens.db is a symbolic link")
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (before, 0o644)


@pytest.mark.parametrize(("make", "kind"), [(Path.mkdir, "folder"), (os.mkfifo, "pipe"), (make_link, "symbolic link")])
def test_something_else_in_the_place_of_the_login_is_named(
    route: Route, make: Callable[[Path], None], kind: str
) -> None:
    path = route_of_a_person(route).code_path / "tokens.db"
    make(path)

    assert kind in route.run("main.py", status=5, says=f"{path} is a").stderr
    assert not Path("/nonexistent/elsewhere").exists()


def route_of_a_person(route: Route) -> Route:
    route.configure(CLIENT_SECRET_FILE="")
    route.write("a.txt")
    return route


@pytest.mark.fault(
    "PING_URL is in a configuration that others can read",
    sees="are open to other users of this machine...and PING_URL is a secret...chmod 600 ",
    status=5,
    recorded="nothing",
)
def test_a_ping_url_that_others_can_read_is_reported(lonely_route: Route, fault: FaultCheck) -> None:
    lonely_route.config.chmod(0o644)
    lonely_route.configure(PING_URL="https://localhost/ping")

    fault.check(lonely_route.run("test_config.py", "--no-login", status=None), lonely_route)

    lonely_route.config.chmod(0o600)
    lonely_route.run("test_config.py", "--no-login", status=None, says="ok    permissions")


def test_no_core_of_a_run_holds_the_login(route: Route, globus: Emulator) -> None:
    route.write("a.txt")
    hold = globus.world.add_fault("POST /v0.10/transfer", hold=True)

    def any_size() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)

    process = route.start("main.py", preexec_fn=any_size)
    until_held(hold, process)
    limits = Path(f"/proc/{process.pid}/limits")
    text = limits.read_text() if limits.exists() else ""
    hold.release()
    process.communicate(timeout=60)

    if not text:
        pytest.skip("this system does not show the limits of a process (/proc)")
    assert re.search(r"^Max core file size +0 ", text, re.MULTILINE), text


def test_a_database_of_another_program_is_not_adopted(lonely_route: Route) -> None:
    path = lonely_route.code_path / "datastore"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = path.read_bytes()

    lonely_route.run("main.py", status=5, says="it holds the table theirs, so another program made it")

    assert path.read_bytes() == before


def test_a_full_disk_is_reported_in_words_and_the_next_run_goes_on(route: Route) -> None:
    route.write("a.txt")
    route.deliver()
    size_bytes = (route.code_path / "log").stat().st_size

    def no_more_space() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    process = route.start("main.py", preexec_fn=no_more_space)
    _, stderr = process.communicate()

    assert process.returncode in (3, 5)
    assert "Traceback" not in stderr
    assert "Cannot write the log: file too large" in stderr
    assert route.summary()["submitted"] == 0


def test_a_hangup_ends_a_run_as_an_interrupt_does(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:100000")
    route.write("a.txt")
    process = route.start("main.py", "--wait")
    until(lambda: globus.world.requests and globus.world.requests[-1].path.startswith("/v0.10/task/"), process)
    process.send_signal(signal.SIGHUP)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Interrupted" in stderr


def test_now_counts_also_what_a_wrong_clock_dated_in_the_future(lonely_route: Route) -> None:
    lonely_route.write("future.dat", mtime_seconds=time.time() + 10 * 365 * 86400)

    lonely_route.run("set_time.py", "now", says="1 path counts as transferred, 0 will be sent")
