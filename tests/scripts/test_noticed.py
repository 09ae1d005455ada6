"""Who hears of a run: cron's mail, a watching service and a command of the owner's; each once, and none can do harm."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import machine
import pytest
import wire
from suite import Result, Route
from terminal import on_a_terminal
from waiting import until_held

from emulator.http.server import Emulator

SECRET_PART = "eb095278-f28d-448d-87fb-7b75c171a6aa"
DAY_SECONDS = 86400
ENDED = Result(3, "", "")


# What each report ends with where a local service answers.
NAMED = "Service: local, not Globus.\n"


def break_a_name(route: Route, name: bytes = b"bad\xff") -> str:
    """A file that each run names; gives what the run says of it."""
    (route.src / os.fsdecode(name)).write_text("x")
    shown = name.decode("ascii", "backslashreplace")
    return f"Skipped {route.src}/{shown}: its name is not UTF-8, so Globus cannot carry it; rename it.\n{NAMED}"


def mend_a_name(route: Route, name: bytes = b"bad\xff") -> None:
    (route.src / os.fsdecode(name)).unlink()


def let_time_pass(route: Route, seconds: float) -> None:
    """Let all that is remembered be older than it is."""
    path = route.code_path / "alerts.json"
    kept = json.loads(path.read_text())
    kept["problems"] = {
        name: [*(max(1.0, at - seconds) if at else at for at in fields[:4]), *fields[4:]]
        for name, fields in kept["problems"].items()
    }
    path.write_text(json.dumps(kept))


def log_of(route: Route) -> str:
    return (route.code_path / "log").read_text()


# ---- cron's mail -----------------------------------------------------------------------------------------------------


def test_what_lasts_is_mailed_once_and_again_after_a_week(route: Route) -> None:
    said = break_a_name(route)

    first, second = route.run("main.py", status=3), route.run("main.py", status=3)
    let_time_pass(route, 8 * DAY_SECONDS)
    reminder, after = route.run("main.py", status=3), route.run("main.py", status=3)

    assert (first, second, after) == (ENDED._replace(stderr=said), ENDED, ENDED)
    assert reminder.stderr.startswith(f"{said.removesuffix(NAMED).strip()} It has lasted since ")
    assert reminder.stderr.endswith(NAMED)
    assert reminder.stderr.count("\n") == 2


def test_the_log_and_status_keep_what_the_mail_does_not_repeat(route: Route) -> None:
    said = break_a_name(route).removesuffix(NAMED).strip()
    route.run("main.py", status=3)
    route.run("main.py", status=3)

    assert log_of(route).count(said.replace("\\", "\\\\")) + log_of(route).count(said) >= 2
    route.run("status.py", status=3, says="its name is not UTF-8")


@pytest.mark.parametrize("option", ["-v", "--json"])
def test_who_asks_for_everything_gets_everything_each_time(route: Route, option: str) -> None:
    break_a_name(route)

    shown = [route.run("main.py", option, status=3) for _ in range(2)]

    assert all("its name is not UTF-8" in result.stdout + result.stderr for result in shown)
    assert route.run("main.py", status=3) == ENDED, "a crontab may have the option"


def test_what_a_person_saw_on_a_terminal_is_still_mailed(route: Route) -> None:
    said = break_a_name(route)

    seen = [on_a_terminal(route, "main.py") for _ in range(2)]

    assert all(said.removesuffix(NAMED) in result.stdout and result.status == 3 for result in seen)
    assert route.run("main.py", status=3).stderr == said


def test_another_problem_is_mailed_though_the_first_one_lasts(route: Route) -> None:
    break_a_name(route)
    route.run("main.py", status=3)
    route.configure(DST_ID=route.settings["DST_ID"].replace("2", "9"))

    result = route.run("main.py", status=5)

    assert "is about another route" in result.stderr
    assert "Skipped" not in result.stderr
    assert route.run("main.py", status=5).stderr == ""


def test_a_problem_that_is_over_and_comes_back_is_mailed_again(route: Route) -> None:
    said = break_a_name(route)
    route.run("main.py", status=3)
    mend_a_name(route)
    assert route.run("main.py") == Result(0, "", ""), "a recovery is no mail"
    break_a_name(route)

    assert route.run("main.py", status=3).stderr == said
    assert log_of(route).count("All is well again") == 1


def test_a_reminder_after_no_hours_is_a_mail_with_every_run(route: Route) -> None:
    route.configure(REMIND_HOURS=0)
    said = break_a_name(route)

    assert [route.run("main.py", status=3).stderr for _ in range(3)] == [said] * 3


def test_globus_away_is_mailed_after_an_hour_where_runs_come_often(route: Route, globus: Emulator) -> None:
    for _ in range(4):
        route.run_here("main.py")
    globus.world.add_fault(
        "GET /v0.10/endpoint/*", status=403, json={"code": "PermissionDenied", "message": "Not you"}, times=None
    )
    route.write("a.dat")

    waited_for = route.run("main.py", status=6)
    let_time_pass(route, 3700)
    told, after = route.run("main.py", status=6), route.run("main.py", status=6)

    assert (waited_for.stderr, after.stderr) == ("", "")
    assert "Not you" in told.stderr
    assert "Not you" in log_of(route)


def test_a_damaged_datastore_is_mailed_once(route: Route) -> None:
    route.deliver_here()
    (route.code_path / "datastore").write_bytes(b"no datastore" * 1000)

    first, second = route.run("main.py", status=5), route.run("main.py", status=5)

    assert "cannot be used" in first.stderr
    assert second.stderr == ""


def test_a_full_disk_is_mailed_once(route: Route) -> None:
    """The memory has its room from the first run on; that the log cannot be written is told once as well."""
    with machine.disk(route.code_path, 400_000):
        route.deliver_here()
        filler = machine.fill(route.code_path)
        route.write("a.dat")

        first, second, third = (route.run("main.py", status=5).stderr for _ in range(3))

        assert "full" in first or "no space left" in first
        assert (second, third) == ("", "")
        filler.unlink()
        assert route.run("main.py").stderr == ""
        assert route.deliver()["delivered"] == 1


def test_the_memory_is_owner_only(route: Route) -> None:
    route.run_here("main.py")

    assert stat.S_IMODE((route.code_path / "alerts.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 16384,
        b'{"succeeded_at": 1800000000.25, "pro',
        b"[1, 2]",
        b'{"succeeded_at": "today", "problems": [1, 2]}',
        b"\xff" * 100,
        b"[" * 16000,
    ],
)
def test_a_memory_that_cannot_be_read_tells_again_and_is_made_anew(route: Route, content: bytes) -> None:
    said = break_a_name(route)
    route.run("main.py", status=3)
    (route.code_path / "alerts.json").write_bytes(content)

    assert route.run("main.py", status=3).stderr == said
    assert route.run("main.py", status=3) == ENDED


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/nonexistent")])
def test_something_else_in_the_place_of_the_memory_tells_every_time(route: Route, make: Any) -> None:
    make(route.code_path / "alerts.json")
    said = break_a_name(route)

    assert [route.run("main.py", status=3).stderr for _ in range(2)] == [said] * 2
    assert "cannot be remembered" in log_of(route)


def test_a_dry_run_remembers_nothing_and_tells_everything(route: Route) -> None:
    said = break_a_name(route)

    for _ in range(2):
        assert said.removesuffix(NAMED) in route.run("main.py", "--dry-run", status=3, says=NAMED).stderr
    assert not (route.code_path / "alerts.json").exists()


# ---- ON_PROBLEM ------------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(route: Route) -> Path:
    """A file in which each call of the owner's command leaves its environment's words and its input."""
    record = route.folder / "calls"
    record.touch()
    program = route.folder / "on problem.py"
    program.write_text(
        "import os, sys, json\n"
        "names = ('STATUS', 'LABEL', 'CONFIG')\n"
        "call = [os.environ['GLOBUS_TRANSFER_' + name] for name in names]\n"
        "call += [sys.stdin.read(), 'GLOBUS_CLIENT_SECRET' in os.environ, sys.argv[1:], os.getcwd()]\n"
        f"open({str(record)!r}, 'a').write(json.dumps(call) + '\\n')\n"
    )
    route.configure(ON_PROBLEM=[sys.executable, str(program), "a b"], LABEL="run7")
    return record


def read(calls: Path) -> list[Any]:
    return [json.loads(line) for line in calls.read_text().splitlines()]


def test_the_command_gets_each_problem_once_and_then_that_all_is_well(route: Route, calls: Path) -> None:
    route.environment["GLOBUS_CLIENT_SECRET"] = "not for others"
    said = break_a_name(route)
    for _ in range(2):
        route.run("main.py", status=3)
    mend_a_name(route)
    for _ in range(2):
        route.run_here("main.py")

    config = str(route.config)
    assert read(calls) == [
        ["3", "run7", config, said, False, ["a b"], "/"],
        ["0", "run7", config, "All is well again: none of the reported problems lasts.\n", False, ["a b"], "/"],
    ]


def test_the_command_gets_a_problem_that_came_before_anything_was_counted(route: Route, calls: Path) -> None:
    (route.code_path / "datastore").write_bytes(b"no datastore" * 1000)

    route.run("main.py", status=5)

    ((status, _, _, text, *_),) = read(calls)
    assert status == "5"
    assert "cannot be used" in text


def test_the_command_is_not_run_for_a_person_who_watches_or_tries(route: Route, calls: Path) -> None:
    break_a_name(route)

    on_a_terminal(route, "main.py")
    route.run("main.py", "--dry-run", status=3)

    assert read(calls) == []


def test_a_command_written_as_one_text_is_split_without_a_shell(route: Route) -> None:
    record = route.folder / "record"
    route.configure(ON_PROBLEM=f"/usr/bin/tee '{record}' '$HOME;x'")
    said = break_a_name(route)

    route.run("main.py", status=3)

    assert record.read_text() == said


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/nonexistent/program"], "no such file or directory"),
        (["/bin/sh", "-c", "echo the pager is off >&2; exit 4"], "it ended with status 4, saying: the pager is off"),
        (["/bin/sh", "-c", "kill -9 $$"], "it ended with status -9"),
        (["/bin/true"], ""),  # it reads nothing of a text that fills no pipe
    ],
)
def test_a_command_that_fails_is_a_line_in_the_log(route: Route, command: list[str], why: str) -> None:
    route.configure(ON_PROBLEM=command)
    said = break_a_name(route)

    assert route.run("main.py", status=3) == Result(3, "", said)

    assert (f"ON_PROBLEM ({command[0]}) failed: {why}" in log_of(route)) == bool(why)


def test_what_a_command_leaves_behind_does_not_hold_up_the_run(route: Route) -> None:
    left = route.folder / "pid"
    route.configure(ON_PROBLEM=["/bin/sh", "-c", f"sleep 600 & echo $! > {left}; exit 0"])
    break_a_name(route)

    route.run("main.py", status=3)

    os.kill(int(left.read_text()), signal.SIGKILL)  # it is still there


def test_a_command_that_never_ends_is_ended_with_all_it_started(route: Route) -> None:
    folder = route.folder / "hasty"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import autotransfer.monitoring.notify as notify\nnotify.COMMAND_SECONDS = 1.0\n"
    )
    route.environment["PYTHONPATH"] = f"{folder}:{Path(__file__).parents[2]}"
    route.configure(ON_PROBLEM=["/bin/sh", "-c", f"sleep 60 & echo $! > {route.folder}/pid; wait"])
    break_a_name(route)

    route.run("main.py", status=3)

    assert "it had not ended after 1 seconds" in log_of(route)
    pid = int((route.folder / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists() or "(zombie)" in Path(f"/proc/{pid}/status").read_text()


# ---- PING_URL --------------------------------------------------------------------------------------------------------


class Service:
    """A watching service on loopback: what it was told, and how it answers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.answer = 200
        service = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                service.told.append((self.path, body))
                self.send_response(service.answer)
                if 300 <= service.answer < 400:
                    self.send_header("Location", f"http://127.0.0.1:{service.port}/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Keep the tests' output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def paths(self) -> list[str]:
        """What was told, without the part that all have."""
        assert all(path.startswith(f"/ping/{SECRET_PART}") for path, _ in self.told)
        return [path.partition(SECRET_PART)[2] for path, _ in self.told]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service(route: Route) -> Iterator[Service]:
    """A watching service that the route tells; afterwards its URL stands in the configuration alone."""
    listening = Service()
    route.configure(PING_URL=f"http://127.0.0.1:{listening.port}/ping/{SECRET_PART}")
    yield listening
    listening.close()
    for path in route.code_path.iterdir():
        assert SECRET_PART.encode() not in path.read_bytes(), path


def test_a_run_that_ended_well_pings_the_service_once(route: Route, service: Service) -> None:
    route.write("a.dat")
    route.run_here("main.py")

    assert service.paths() == [""]


def test_a_failing_run_tells_the_problem_each_time_though_the_mail_is_empty(route: Route, service: Service) -> None:
    said = break_a_name(route).removesuffix(NAMED).strip()
    for _ in range(2):
        route.run("main.py", status=3)

    assert service.paths() == ["/fail"] * 2
    for _, text in service.told:
        assert "ended with status 3\n" in text and said in text


def test_a_blip_is_neither_a_success_nor_a_failure(route: Route, service: Service, globus: Emulator) -> None:
    for _ in range(4):
        route.run_here("main.py")
    globus.world.add_fault("GET /v0.10/endpoint/*", status=403, json={"code": "No", "message": "No"}, times=None)
    route.write("a.dat")

    route.run("main.py", status=6)
    let_time_pass(route, 3700)
    route.run("main.py", status=6)

    assert service.paths()[4:] == ["/log", "/fail"]


def test_a_run_that_could_not_begin_tells_it_and_one_that_finds_another_at_work_does_not(
    route: Route, service: Service, globus: Emulator
) -> None:
    route.write("a.dat")
    hold = globus.world.add_fault("GET /v0.10/endpoint/*", hold=True)
    first = route.start("main.py")
    until_held(hold, first)
    route.run("main.py", status=7)
    hold.release()
    first.communicate(timeout=60)
    assert service.paths() == [""]

    (route.code_path / "log").unlink()
    (route.code_path / "log").mkdir()
    route.run("main.py", status=5)
    (route.code_path / "log").rmdir()
    assert service.paths() == ["", "/fail"]


def test_a_dry_run_tells_nobody(route: Route, service: Service) -> None:
    route.run("main.py", "--dry-run")

    assert service.told == []


@pytest.mark.parametrize(("answer", "why"), [(404, "it answered HTTP 404"), (302, "it answered HTTP 302")])
def test_a_service_that_refuses_is_a_line_in_the_log_and_is_not_followed_elsewhere(
    route: Route, service: Service, answer: int, why: str
) -> None:
    service.answer = answer

    assert route.run("main.py") == Result(0, "", "")

    assert f"PING_URL was not reached: {why}" in log_of(route)
    assert service.paths() == [""]


def test_a_service_that_is_away_is_a_line_in_the_log(route: Route) -> None:
    route.configure(PING_URL=f"http://127.0.0.1:9/{SECRET_PART}")

    assert route.run("main.py") == Result(0, "", "")

    assert "PING_URL was not reached: it cannot be reached: Connection refused" in log_of(route)
    assert SECRET_PART not in log_of(route)


def test_a_service_that_answers_in_small_pieces_for_ever_is_given_up(route: Route) -> None:
    folder = route.folder / "hasty"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import autotransfer.monitoring.notify as notify\nnotify.PING_SECONDS = 1.5\n"
    )
    route.environment["PYTHONPATH"] = f"{folder}:{Path(__file__).parents[2]}"

    def drip(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.1)

    with wire.server(drip) as port:
        route.configure(PING_URL=f"http://127.0.0.1:{port}/{SECRET_PART}")
        assert route.run("main.py") == Result(0, "", "")

    assert "PING_URL was not reached: no answer within 1.5 seconds" in log_of(route)


def test_the_url_is_in_no_list_of_processes(route: Route) -> None:
    seen: list[str] = []

    def look(connection: Any) -> None:
        connection.recv(65536)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(path.read_bytes().decode(errors="replace"))
            except OSError:
                continue  # it ended meanwhile
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    if not Path("/proc/self/cmdline").exists():
        pytest.skip("this system has no /proc")
    with wire.server(look) as port:
        route.configure(PING_URL=f"http://127.0.0.1:{port}/{SECRET_PART}")
        route.run_here("main.py")

    assert seen
    assert not any(SECRET_PART in words for words in seen)


def test_a_name_that_is_never_found_is_given_up(route: Route) -> None:
    folder = route.folder / "hasty"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import socket, time\n"
        "import autotransfer.monitoring.notify as notify\n"
        "notify.PING_SECONDS = 1.5\n"
        "socket.getaddrinfo = lambda *words, **options: time.sleep(600)\n"
    )
    route.environment["PYTHONPATH"] = f"{folder}:{Path(__file__).parents[2]}"
    route.configure(PING_URL=f"https://hc.example/{SECRET_PART}")

    assert route.run("main.py") == Result(0, "", "")

    assert "PING_URL was not reached: no answer within 1.5 seconds" in log_of(route)


def test_the_next_run_can_start_while_the_service_is_slow(route: Route) -> None:
    found: list[str] = []

    def run_another(connection: Any) -> None:
        connection.recv(65536)
        with (route.code_path / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.append("free")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with wire.server(run_another) as port:
        route.configure(PING_URL=f"http://127.0.0.1:{port}/{SECRET_PART}")
        route.run("main.py")

    assert found == ["free"]


# ---- the settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PING_URL", "http://hc-ping.com/eb095278"),
        ("PING_URL", "http://127.0.0.1@hc-ping.com/eb095278"),
        ("PING_URL", "https://hc-ping.com/eb095278?a=b"),
        ("PING_URL", "https://hc-ping.com/eb095278\n"),
        ("PING_URL", "https://hc-ping.com"),
        ("PING_URL", "file:///etc/passwd"),
        ("PING_URL", 5),
        ("METRICS_FILE", "metrics.prom"),
        ("METRICS_FILE", "/var/lib/metrics.txt"),
        ("METRICS_FILE", "SRC_DIR/metrics.prom"),
        ("METRICS_FILE", 5),
        ("ON_PROBLEM", "logger 'x"),
        ("ON_PROBLEM", [""]),
        ("ON_PROBLEM", [5]),
        ("ON_PROBLEM", None),
        ("ON_PROBLEM", ["a\0b"]),
        ("REMIND_HOURS", -1),
        ("REMIND_HOURS", "7d"),
    ],
)
def test_a_wrong_setting_is_named_but_never_the_secret_url(lonely_route: Route, name: str, value: Any) -> None:
    if isinstance(value, str):
        value = value.replace("SRC_DIR", str(lonely_route.src))
    lonely_route.configure(**{name: value})

    result = lonely_route.run("main.py", status=5, says=f"- {name} ")

    assert ("eb095278" in result.stderr, "hc-ping" in result.stderr.replace("https://hc-ping.com/UUID", "")) == (
        False,
        False,
    )


# ---- the terminal ----------------------------------------------------------------------------------------------------


def drawn_on_a_terminal(route: Route, *words: str) -> str:
    """All that a script draws on a terminal, with what it draws over."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        route.command(*words),
        env={**route.bare_environment(), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    pieces = []
    try:
        while piece := os.read(ours, 65536):
            pieces.append(piece)
    except OSError:
        pass  # the other end is closed: that is how a terminal ends
    os.close(ours)
    assert process.wait(60) == 0
    return b"".join(pieces).decode()


def test_a_scan_draws_how_far_it_is_by_what_the_last_run_saw(route: Route) -> None:
    for number in range(80):
        route.write(f"folder{number:02d}/a.dat")

    unknown = drawn_on_a_terminal(route, "main.py", "--wait", "60")
    known = drawn_on_a_terminal(route, "main.py")

    assert "\r\x1b[Kscanning: " in unknown and " folders, " in unknown and " a second" in unknown
    assert "of about 80 files, " in known
    assert known.endswith("\r\x1b[K"), "the line is taken away"
