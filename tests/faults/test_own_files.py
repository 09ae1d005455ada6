"""What lies where our own files should be: one clear message, and never a hang, a bug or a run through a link."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from suite import Route
from waiting import until

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
