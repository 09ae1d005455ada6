"""Runs beside one another, and runs that are asked to end: one works, nobody waits, and nothing is left to clean up."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import machine
import pytest
from faulty import FaultCheck, assert_recovers
from suite import Result, Route
from waiting import LONGEST_WAIT_SECONDS, until, until_held

from emulator.http.server import Emulator

RUNS = 100 if os.environ.get("PROVE") else 20
DELIVERED = "2 paths delivered; 1 task succeeded"
ON_ITS_WAY = "2 paths delivered, 1 path under way; 1 task succeeded"
INTERRUPTED = "Interrupted. What was recorded is kept; the next run continues from there."
AGAIN = "Nothing was done: run this again once it has ended, or with --wait SECONDS, which waits for that."
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: str(n.name))


@pytest.fixture
def ready(route: Route) -> Route:
    """A route with something delivered and something to send."""
    return machine.one_delivered_one_to_send(route)


def ended(process: subprocess.Popen[str]) -> Result:
    """What a script did, once it has ended."""
    stdout, stderr = process.communicate(timeout=LONGEST_WAIT_SECONDS)
    return Result(process.returncode, stdout, stderr)


# ---- beside one another ------------------------------------------------------------------------------------------


@pytest.mark.fault("a run begins while another is under way, under cron", sees="", status=7, recorded=DELIVERED)
def test_a_second_run_ends_at_once_and_in_silence(ready: Route, fault: FaultCheck) -> None:
    with machine.Held(ready, "look", "c.txt") as held:
        fault.check(ready.run("main.py", status=None), ready)  # it has ended while the first is held
        assert held.go_on().status == 0

    assert_recovers(ready, tasks=2)


def during(*words: str, says: str) -> Any:
    """A parameter set with its row."""
    mark = pytest.mark.fault(
        f"a person starts `{' '.join(words)}` while a run is under way",
        sees=f"Another run of this route is active (pid ...). {says}",
        status=7,
        recorded=DELIVERED,
    )
    return pytest.param(words, marks=mark, id=" ".join(words))


@pytest.mark.parametrize(
    "words",
    [
        during(*words, says=says)
        for words, says in [
            (("main.py", "-v"), "Nothing was done, and you need not do anything."),
            (("main.py", "-v", "--wait"), "Nothing was done: run this again once it has ended."),
            (("main.py", "-v", "--full"), "Nothing was done: run this again once it has ended."),
            (("main.py", "-v", "--paths-from", "/dev/null"), "The names were not used: pass them to a later run."),
            (("main.py", "--dry-run"), AGAIN),
            (("set_time.py", "now"), AGAIN),
            (("set_time.py", "now", "--wait", "0.1"), AGAIN),
        ]
    ],
)
def test_a_person_learns_that_a_run_is_under_way(ready: Route, fault: FaultCheck, words: tuple[str, ...]) -> None:
    with machine.Held(ready, "look", "c.txt") as held:
        result = ready.run(*words, status=None)
        fault.check(result, ready)
        assert f"(pid {held.processes[0].pid})" in result.stderr
        assert held.go_on().status == 0

    assert_recovers(ready, tasks=2)


@pytest.mark.parametrize("words", [("main.py", "--dry-run"), ("set_time.py", "now")], ids=" ".join)
def test_who_says_how_long_waits_for_the_run_under_way(ready: Route, words: tuple[str, ...]) -> None:
    with machine.Held(ready, "look", "c.txt") as held:
        waiting = ready.start(*words, "--wait", "3600")
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=1)
        assert held.go_on().status == 0

    assert ended(waiting).status == 0
    assert_recovers(ready, tasks=2)


@pytest.mark.fault("a hundred runs begin at once, under cron", sees="", status=7, recorded=DELIVERED)
def test_of_many_runs_at_once_one_works_and_the_others_end_in_silence(ready: Route, fault: FaultCheck) -> None:
    with machine.Held(ready, "look", "c.txt", count=RUNS) as held:
        until(lambda: sum(process.poll() is None for process in held.processes) <= 1)
        losers = [process for process in held.processes if process.poll() is not None]
        assert len(losers) == RUNS - 1
        for process in losers:
            fault.check(ended(process), ready)
        held.release()
        (winner,) = set(held.processes) - set(losers)
        assert ended(winner) == Result(0, "", "")

    assert len(ready.sent()) == 2
    machine.assert_sound(ready)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "the run that holds the lock is killed (SIGKILL) and another begins",
    sees="",
    status=0,
    recorded=ON_ITS_WAY,
)
def test_a_killed_run_leaves_no_lock(ready: Route, fault: FaultCheck) -> None:
    with machine.Held(ready, "look", "c.txt") as held:
        held.processes[0].kill()
        held.processes[0].wait()

        fault.check(ready.run("main.py", status=None), ready)

    assert_recovers(ready, tasks=2)


# ---- asked to end ------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "SIGTERM, SIGINT or SIGHUP while the tree is scanned", sees=INTERRUPTED, status=130, recorded=DELIVERED
)
@SIGNALS
def test_a_run_that_is_asked_to_end_while_it_scans_ends_cleanly(
    ready: Route, fault: FaultCheck, number: signal.Signals
) -> None:
    with machine.Held(ready, "look", "c.txt") as held:
        held.processes[0].send_signal(number)
        fault.check(held.go_on(), ready)

    assert len(ready.sent()) == 1
    machine.assert_sound(ready)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "SIGTERM while a task is posted",
    sees=INTERRUPTED,
    status=130,
    recorded="2 paths delivered, 1 path in a prepared task; 1 task succeeded",
)
def test_a_run_that_is_asked_to_end_while_it_posts_ends_cleanly_and_the_task_runs_once(
    ready: Route, globus: Emulator, fault: FaultCheck
) -> None:
    hold = globus.world.add_fault("POST /v0.10/transfer", hold=True)
    process = ready.start("main.py")
    until_held(hold, process)
    process.send_signal(signal.SIGTERM)

    fault.check(ended(process), ready)

    machine.assert_sound(ready)
    hold.release()  # the service works on, though nobody waits for its answer
    until(lambda: len(ready.sent()) == 2)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault("SIGTERM while tasks are waited for", sees=INTERRUPTED, status=130, recorded=ON_ITS_WAY)
def test_a_run_that_is_asked_to_end_while_it_waits_ends_cleanly(
    ready: Route, globus: Emulator, fault: FaultCheck
) -> None:
    globus.world.set_progress("polls:100000")
    process = ready.start("main.py", "--wait")
    task_polls = "/v0.10/task/"
    until(lambda: len(globus.world.tasks) == 2 and globus.world.requests[-1].path.startswith(task_polls))
    process.send_signal(signal.SIGTERM)

    fault.check(ended(process), ready)

    globus.world.set_progress("immediate")
    machine.assert_sound(ready)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "SIGTERM while set_time.py reads the tree", sees=f"set_time.py: {INTERRUPTED}", status=130, recorded=DELIVERED
)
def test_set_time_that_is_asked_to_end_changes_nothing(ready: Route, fault: FaultCheck) -> None:
    with machine.Held(ready, "look", "c.txt", "set_time.py", "now") as held:
        held.processes[0].send_signal(signal.SIGTERM)
        fault.check(held.go_on(), ready)

    machine.assert_sound(ready)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault("SIGHUP where it is ignored, as under nohup", sees="", status=0, recorded=ON_ITS_WAY)
def test_under_nohup_a_hangup_ends_no_run(ready: Route, fault: FaultCheck) -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        held = machine.Held(ready, "look", "c.txt")
    finally:
        signal.signal(signal.SIGHUP, former)
    with held:
        held.processes[0].send_signal(signal.SIGHUP)
        fault.check(held.go_on(), ready)

    assert_recovers(ready, tasks=2)


# ---- with no streams ---------------------------------------------------------------------------------------------


@pytest.mark.fault("stdin, stdout or stderr closed, or all of them", sees="", status=0, recorded=ON_ITS_WAY)
@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trouble(ready: Route, fault: FaultCheck, closed: str) -> None:
    fault.check(machine.run(ready, "main.py", before=machine.shell(f'exec "$@" {closed}')), ready)

    machine.assert_sound(ready)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault("a mistake to tell, and no stream to tell it on", sees="", status=5, recorded=DELIVERED)
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "2>/dev/full"])
def test_what_cannot_be_told_still_has_its_exit_status(ready: Route, fault: FaultCheck, closed: str) -> None:
    away = ready.src.rename(ready.folder / "away")

    result = machine.run(ready, "main.py", before=machine.shell(f'exec "$@" {closed}'))

    fault.check(result, ready)
    assert "Cannot read SRC_DIR" in (ready.code_path / "log").read_text()
    away.rename(ready.src)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "stdout is a full disk",
    sees="Cannot print: no space left on device. What was done is kept.",
    status=5,
    recorded=ON_ITS_WAY,
)
def test_a_full_disk_under_stdout_is_reported_on_stderr(ready: Route, fault: FaultCheck) -> None:
    fault.check(machine.run(ready, "main.py", "-v", before=machine.shell('exec "$@" >/dev/full')), ready)

    assert_recovers(ready, tasks=2)


@pytest.mark.fault("whoever reads stdout went away", sees="", status=0, recorded=ON_ITS_WAY)
def test_a_reader_that_went_away_ends_no_run(ready: Route, fault: FaultCheck) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    process = subprocess.Popen(
        ready.command("main.py", "-v"),
        env=ready.bare_environment(),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    _, stderr = process.communicate(timeout=LONGEST_WAIT_SECONDS)

    fault.check(Result(process.returncode, "", stderr), ready)
    assert_recovers(ready, tasks=2)
