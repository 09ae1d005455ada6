"""main.py's options: what each says, to whom, and with which exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
from pathlib import Path

import pytest
from suite import Route

from autotransfer.common.errors import MEANINGS
from emulator.http.server import Emulator


@pytest.mark.parametrize("script", ["main.py", "set_time.py"])
def test_help_teaches_with_examples_and_every_exit_status(lonely_route: Route, script: str) -> None:
    shown = lonely_route.run(script, "--help").stdout

    examples, _, statuses = shown.partition("exit status:")
    assert len(re.findall(rf"python \S*{script}", examples.partition("examples:")[2])) >= 3
    for status, meaning in MEANINGS.items():
        assert f"{int(status)}  {meaning}" in statuses
    assert "--config" in shown
    assert max(map(len, shown.splitlines())) <= 110


def test_quiet_prints_what_a_person_must_read_and_no_more_even_on_a_terminal(route: Route) -> None:
    route.write("a.txt")
    (route.src / os.fsdecode(b"bad\xff")).write_text("x")
    ours, theirs = pty.openpty()

    process = subprocess.Popen(
        route.command("main.py", "-q"),
        env={**route.bare_environment(), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = _read_all(ours)

    assert process.wait(60) == 3
    assert shown.splitlines() == [
        f"Skipped {route.src}/bad\\xff: its name is not UTF-8, so Globus cannot carry it; rename it.",
        "Service: local, not Globus.",
    ]


def test_verbose_says_what_is_done_also_when_nobody_watches(route: Route) -> None:
    route.write("a.txt", "12345")

    result = route.run("main.py", "-v", "--wait", "30")

    assert "Submitted task " in result.stdout
    assert "Submitted 1 path (5 B) in 1 task: 1 new." in result.stdout
    assert "1 path delivered" in result.stdout
    assert result.stderr == ""


def test_without_a_watcher_only_what_a_person_must_read_is_printed(route: Route) -> None:
    route.write("a.txt")
    (route.src / os.fsdecode(b"bad\xff")).write_text("x")

    result = route.run("main.py", status=3)

    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"Skipped {route.src}/bad\\xff: its name is not UTF-8, so Globus cannot carry it; rename it.",
        "Service: local, not Globus.",
    ]


def test_json_is_one_object_with_counts_tasks_and_notices(route: Route) -> None:
    route.write("a.txt", "12345")

    result = route.run("main.py", "--json", "--wait", "30")

    summary = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert (summary["status"], summary["meaning"]) == (0, "done, or nothing to do")
    assert (summary["new"], summary["bytes"], summary["submitted"], summary["delivered"]) == (1, 5, 1, 1)
    assert summary["task_ids"] == list(route.globus.world.tasks) if route.globus else False
    assert (summary["problem"], summary["notices"], summary["dry_run"]) == (None, [], False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", summary["started_at"])


def test_json_tells_a_problem_too(route: Route, globus: Emulator) -> None:
    globus.world.add_fault("GET /v0.10/endpoint/*", status=403, json={"code": "PermissionDenied", "message": "No."})
    route.write("a.txt")

    result = route.run("main.py", "--json", status=6)

    assert result.json["status"] == 6
    assert "PermissionDenied" in result.json["problem"]
    assert result.json["problem"] in result.stderr
    assert route.sent() == []


@pytest.mark.parametrize("seconds", ["0", "1"])
def test_waiting_ends_when_its_time_is_over_and_says_what_is_still_under_way(
    route: Route, globus: Emulator, seconds: str
) -> None:
    globus.world.set_progress("polls:100000")
    route.write("a.txt")
    started = time.monotonic()

    result = route.run("main.py", "--wait", seconds, status=8)

    assert time.monotonic() - started >= float(seconds)
    assert result.stderr == "", "nothing is wrong with a task that takes longer"
    assert route.summary("--wait", "0", status=8)["meaning"].startswith("done, and `--wait` ended before the tasks did")
    said = route.run("main.py", "-v", "--wait", "0", status=8).stdout
    assert "1 task under way." in said
    assert "--wait is over: the tasks go on" in said


def test_waiting_without_a_number_stays_until_the_end(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:3")
    route.write("a.txt")

    summary = route.summary("--wait")

    assert (summary["delivered"], summary["in_flight_tasks"]) == (1, 0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--wait", "-1"], "not negative"),
        (["--wait", "nan"], "not negative"),
        (["--wait", "soon"], "invalid float value: 'soon'"),
        (["-q", "-v"], "not allowed with"),
        (["--dryrun-everything"], "--dryrun-everything"),
        (["extra"], "extra"),
    ],
)
def test_wrong_arguments_end_in_usage_and_change_nothing(lonely_route: Route, words: list[str], says: str) -> None:
    result = lonely_route.run("main.py", *words, status=2, says=says)

    assert "See main.py --help." in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(lonely_route.code_path.iterdir()) == []


def test_a_progress_bar_of_bytes_is_drawn_for_a_person_and_wiped_away(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:4")
    route.write("a.txt", "x" * 1000)
    ours, theirs = pty.openpty()

    process = subprocess.Popen(
        route.command("main.py", "--wait"),
        env={**route.bare_environment(), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    stdout, _ = process.communicate(timeout=60)
    drawn = _read_all(ours)

    assert process.returncode == 0
    assert re.search(r"\[#*-*\] \S+ k?B of 1\.0 kB, 1 task under way", drawn)
    assert drawn.endswith("\r\x1b[K")
    assert b"1 path delivered" in stdout


def _read_all(terminal: int) -> str:
    pieces = []
    try:
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    except OSError:
        pass  # the other end is closed: that is how a terminal ends
    os.close(terminal)
    return b"".join(pieces).decode()


@pytest.mark.parametrize("words", [["main.py", "--dry-run"], ["main.py", "--json"], ["main.py", "--help"]])
def test_a_reader_that_goes_away_is_no_error(route: Route, words: list[str]) -> None:
    for number in range(300):
        route.write(f"a file with a rather long name, number {number}.txt")

    done = _shell(route, words, '("$@"; echo "ended with $?" >&2) | head -n 0')

    assert done.stderr == "ended with 0\n"


@pytest.mark.parametrize("words", [["main.py", "-v"], ["main.py", "--json"], ["main.py", "--help"]])
def test_an_output_that_cannot_be_written_does_not_stop_the_run(route: Route, words: list[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    route.write("a.txt")

    done = _shell(route, words, 'exec "$@" > /dev/full')

    assert done.returncode == 5
    assert done.stderr.splitlines() == ["main.py: Cannot print: no space left on device. What was done is kept."]
    assert len(route.sent()) == (words[-1] != "--help")


@pytest.mark.parametrize("words", [["status.py"], ["status.py", "--json"], ["status.py", "--path", "a.txt"]])
def test_an_answer_that_cannot_be_printed_is_none(route: Route, words: list[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    route.write("a.txt")
    route.deliver_here()

    assert _shell(route, words, 'exec "$@" > /dev/full').returncode == 5
    assert _shell(route, words, '"$@" > /dev/null').returncode == 0


def test_an_error_output_that_cannot_be_written_does_not_change_the_status(route: Route) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (route.src / os.fsdecode(b"bad\xff")).write_text("x")

    assert _shell(route, ["main.py"], 'exec "$@" 2> /dev/full').returncode == 3
    assert _shell(route, ["main.py", "--wat"], 'exec "$@" 2> /dev/full').returncode == 2


def _shell(route: Route, words: list[str], line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line, "sh", *route.command(*words)],
        env=route.bare_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# ---- the configuration -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SRC_DIR = (\n", "is not Python in line 1: "),
        ("SRC_DIR = '/data'\nDST_DIR = nothing\n", "fails in line 2: NameError: name 'nothing' is not defined"),
        ("x = 1\nraise SystemExit('bye')\n", "fails in line 2: SystemExit: bye"),
        ("\0", "null byte"),
    ],
)
def test_a_configuration_that_does_not_run_is_reported_with_its_line(lonely_route: Route, text: str, says: str) -> None:
    lonely_route.config.write_text(text)

    result = lonely_route.run("main.py", status=5, says=says)

    assert str(lonely_route.config) in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_missing_configuration_is_named(lonely_route: Route) -> None:
    lonely_route.config.unlink()

    result = lonely_route.run("main.py", status=5, says="no such file or directory")

    assert str(lonely_route.config) in result.stderr


def test_every_wrong_setting_is_listed_at_once(lonely_route: Route) -> None:
    wrong = {
        "SRC_DIR": "data/run7",
        "SRC_ID": "not a uuid",
        "EXCLUDE": "*.tmp",
        "SETTLE_SECONDS": -1,
        "SYMLINKS": "copy",
        "VERIFY_CHECKSUM": "yes",
        "NOTIFY": ["always"],
        "LABEL": " blank ",
        "MAX_ITEMS_PER_TASK": 0,
        "LOG_LEVEL": "LOUD",
    }
    lonely_route.configure(**wrong, SETTLE_SECOND=3)

    result = lonely_route.run("main.py", status=5, says="11 wrong settings")

    findings = [line[4:] for line in result.stderr.splitlines() if line.startswith("  - ")]
    assert "SETTLE_SECOND is not a setting; did you mean SETTLE_SECONDS?" in findings
    assert {line.split()[0] for line in findings} == {*wrong, "SETTLE_SECOND"}
    assert "Nothing was sent or recorded." in result.stderr


def test_a_configuration_may_be_given_relative_to_the_working_directory(route: Route) -> None:
    route.write("a.txt")
    command = route.command("main.py", "--dry-run")
    command[command.index(str(route.config))] = route.config.name

    done = subprocess.run(
        command, cwd=route.folder, env=route.bare_environment(), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "1 path (7 B) would be sent" in done.stdout


def test_a_second_configuration_is_a_route_of_its_own(route: Route) -> None:
    route.write("a.txt")
    route.deliver()
    (route.folder / "state2").mkdir()
    route.configure(CODE_PATH=str(route.folder / "state2"), DST_DIR=str(route.folder / "dst2"))

    route.deliver()

    assert route.tree(route.folder / "dst2") == route.tree(route.dst) == route.tree()


def test_json_is_printed_also_when_a_run_ends_before_it_began(lonely_route: Route) -> None:
    lonely_route.configure(SYNC_LEVEL="newest")

    result = lonely_route.run("main.py", "--json", status=5)

    assert result.json["status"] == 5
    assert "SYNC_LEVEL" in result.json["problem"]
