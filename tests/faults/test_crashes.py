"""Processes killed in the middle: nothing is lost, nothing is submitted twice, and nobody has to clean up.

There are no hooks in the product: the emulator holds or drops a request, and the script is killed while it waits. So
does the second service (support/small_globus.py) where the outcome rests on what is answered to a repeated submission.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import threading
from collections import Counter
from contextlib import closing
from typing import Any, Optional

import pytest
from faulty import assert_recovers
from small_globus import DROPPED, Answer, SmallGlobus
from struck import spare
from suite import LONG_AGO, Route
from waiting import LONGEST_WAIT_SECONDS, until, until_held

from emulator.faults import Fault, LoggedRequest
from emulator.http.server import Emulator


def kill_when_held(route: Route, hold: Fault, *words: str) -> None:
    """Start main.py, kill it while the emulator holds the request that the fault strikes, and release the request."""
    process = route.start("main.py", *words)
    until_held(hold, process)
    kill(process)
    hold.release()


def until_held_or_ended(hold: Fault, process: subprocess.Popen[str]) -> None:
    """Wait until the emulator holds a request of the script, or the script has ended without one."""
    until(lambda: hold.is_holding or process.poll() is not None)


def kill(process: subprocess.Popen[str]) -> None:
    """End a process as the out-of-memory killer does."""
    process.kill()
    process.communicate(timeout=LONGEST_WAIT_SECONDS)
    assert process.returncode == -signal.SIGKILL


def posts(globus: Emulator) -> list[LoggedRequest]:
    """The submissions that the emulator has answered."""
    return [call for call in globus.world.requests if call.method == "POST" and call.path == "/v0.10/transfer"]


def assert_delivered_once(route: Route, globus: Emulator, *, tasks: int) -> None:
    """All files are there; there is one task for each batch, and none carried a path that another one did."""
    __tracebackhide__ = True
    assert route.tree(route.dst) == route.tree()
    assert len(route.sent()) == tasks
    submission_ids = Counter(document["submission_id"] for document in route.sent())
    assert set(submission_ids.values()) == {1}
    carried = Counter(path for document in route.sent() for path in route.sent_paths(document))
    assert set(carried.values()) == {1}
    assert globus.world.conflicts == []
    assert route.summary()["submitted"] == 0


@pytest.fixture
def batches(route: Route) -> Route:
    """A route with six files that make three tasks."""
    route.configure(MAX_ITEMS_PER_TASK=2)
    for number in range(6):
        route.write(f"{number}.dat", str(number) * 100)
    return route


def test_killed_before_anything_was_recorded_the_next_run_sends_all(batches: Route, globus: Emulator) -> None:
    hold = globus.world.add_fault("GET /v0.10/submission_id", hold=True, reset="before")
    kill_when_held(batches, hold)
    assert batches.sent() == []

    summary = batches.deliver()

    assert (summary["new"], summary["delivered"]) == (6, 6)
    assert_delivered_once(batches, globus, tasks=3)


def test_killed_between_two_submission_ids_the_next_run_sends_all(batches: Route, globus: Emulator) -> None:
    hold = globus.world.add_fault("GET /v0.10/submission_id", skip=2, hold=True, reset="before")
    kill_when_held(batches, hold)

    batches.deliver_here()

    assert_delivered_once(batches, globus, tasks=3)


@pytest.mark.parametrize("posted", [0, 1, 2])
def test_killed_before_the_post_of_a_batch_the_next_run_posts_what_was_prepared(
    batches: Route, globus: Emulator, posted: int
) -> None:
    hold = globus.world.add_fault("POST /v0.10/transfer", skip=posted, hold=True, reset="before")
    kill_when_held(batches, hold)
    assert len(batches.sent()) == posted

    summary = batches.deliver()

    assert (summary["new"], summary["submitted"], summary["delivered"]) == (0, 3 - posted, 6)
    assert_delivered_once(batches, globus, tasks=3)


@pytest.mark.parametrize("posted", [0, 1, 2])
def test_killed_after_the_post_and_before_its_answer_the_next_run_recognizes_the_task(
    batches: Route, globus: Emulator, posted: int
) -> None:
    # Globus accepts the batch, the answer is lost on the way, and the retry is held.
    globus.world.add_fault("POST /v0.10/transfer", skip=posted, reset="after")
    hold = globus.world.add_fault("POST /v0.10/transfer", skip=posted, hold=True, reset="before")
    kill_when_held(batches, hold)
    accepted = [document["submission_id"] for document in batches.sent()]
    assert len(accepted) == posted + 1

    batches.deliver_here()

    assert [document["submission_id"] for document in batches.sent()][: posted + 1] == accepted
    assert_delivered_once(batches, globus, tasks=3)


def test_killed_while_its_post_is_on_the_wire_the_late_request_makes_no_second_task(
    batches: Route, globus: Emulator
) -> None:
    hold = globus.world.add_fault("POST /v0.10/transfer", hold=True)
    process = batches.start("main.py")
    until_held(hold, process)
    kill(process)

    batches.deliver_here()
    hold.release()  # only now does Globus come to the dead process's request
    until(lambda: len(posts(globus)) == 4)

    assert_delivered_once(batches, globus, tasks=3)


def test_killed_after_the_answer_was_recorded_the_next_run_only_watches(batches: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:1000")
    hold = globus.world.add_fault("GET /v0.10/task/*", hold=True)  # no task moves before the kill
    process = batches.start("main.py", "-v", "--wait")
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(3)]
    kill(process)
    assert [line.split()[0] for line in said] == ["Submitted"] * 3
    assert set(batches.tree(batches.dst).values()) <= {None}  # the request that is held may have made folders

    hold.release()
    globus.world.set_progress("immediate")
    summary = batches.deliver()

    assert (summary["new"], summary["submitted"], summary["delivered"]) == (0, 0, 6)
    assert_delivered_once(batches, globus, tasks=3)


@pytest.mark.parametrize("settled", [0, 1, 2])
def test_killed_while_it_asks_what_became_of_the_tasks_the_next_run_asks_again(
    batches: Route, globus: Emulator, settled: int
) -> None:
    batches.summary_here()
    hold = globus.world.add_fault("GET /v0.10/task/*", skip=settled, hold=True)
    kill_when_held(batches, hold)

    summary = batches.summary()

    assert (summary["delivered"], summary["submitted"]) == (6 - 2 * settled, 0)
    assert_delivered_once(batches, globus, tasks=3)


def test_killed_while_a_failed_task_is_settled_its_files_are_sent_again_once(batches: Route, globus: Emulator) -> None:
    globus.world.add_outcome("fail", path="*/2.dat", times=1)
    batches.summary_here()
    hold = globus.world.add_fault("GET /v0.10/task/*/successful_transfers", hold=True)
    kill_when_held(batches, hold)

    batches.summary("--wait", "60", status=3)

    assert batches.tree(batches.dst) == batches.tree()
    assert len(batches.sent()) == 4
    assert batches.sent()[3]["sync_level"] == 3
    assert globus.world.conflicts == []


def test_killed_while_a_request_is_halved_every_file_still_arrives(route: Route, globus: Emulator) -> None:
    globus.world.limits.items_per_task = 2
    for number in range(6):
        route.write(f"{number}.dat", str(number))
    # Refused as too large; then the submission_id of a half is held.
    hold = globus.world.add_fault("GET /v0.10/submission_id", skip=1, hold=True, reset="before")
    kill_when_held(route, hold)

    route.deliver_here()

    assert_delivered_once(route, globus, tasks=4)


def test_killed_time_and_again_it_still_comes_to_the_same_end(batches: Route, globus: Emulator) -> None:
    requests = ("GET /v0.10/submission_id", "GET /v0.10/endpoint/*", "POST /v0.10/transfer", "GET /v0.10/task/*")
    kills = 0
    for round_number in range(3):
        for number, request in enumerate(requests):
            batches.write(f"round{round_number}/{number}.dat", "x" * round_number)
            hold = globus.world.add_fault(request, hold=True, reset="before")
            process = batches.start("main.py")
            until_held_or_ended(hold, process)
            if hold.is_holding:
                kill(process)
                kills += 1
            process.communicate(timeout=LONGEST_WAIT_SECONDS)
            globus.world.clear_faults()

    batches.deliver_here()

    assert kills >= 9
    assert batches.tree(batches.dst) == batches.tree()
    assert globus.world.conflicts == []
    assert batches.summary()["submitted"] == 0


def test_a_lock_left_by_a_killed_run_does_not_block(route: Route, globus: Emulator) -> None:
    hold = globus.world.add_fault("GET /v0.10/submission_id", hold=True, reset="before")
    route.write("a.txt")
    kill_when_held(route, hold)
    assert (route.code_path / "lock").read_text().startswith("pid ")

    assert route.deliver()["delivered"] == 1


def test_set_time_killed_midway_leaves_the_datastore_as_it_was(lonely_route: Route) -> None:
    for folder in range(300):
        for number in range(20):
            lonely_route.write(f"{folder}/{number}.dat")
    lonely_route.run("set_time.py", "now", says="0 will be sent")
    journal = lonely_route.code_path / "datastore-journal"
    with closing(sqlite3.connect(lonely_route.code_path / "datastore")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM Dict").fetchone()  # as long as somebody reads, nobody commits
        process = lonely_route.start("set_time.py", "never")
        until(journal.exists, process)
        kill(process)
    assert journal.exists()  # it was killed in the middle of its changes

    summary = lonely_route.summary()

    assert (summary["files"], summary["new"], summary["submitted"]) == (6000, 0, 0)
    assert not journal.exists()
    with sqlite3.connect(lonely_route.code_path / "datastore") as datastore:
        assert datastore.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    datastore.close()


def test_killed_with_a_stop_signal_it_ends_at_once_and_can_be_taken_up(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:1000")
    route.write("a.txt", mtime_seconds=LONG_AGO)
    process = route.start("main.py", "-v", "--wait")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Submitted task ")
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=LONGEST_WAIT_SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in stderr

    globus.world.set_progress("immediate")
    route.deliver_here()

    assert_delivered_once(route, globus, tasks=1)


# ---- the second service ----------------------------------------------------------------------------------------------


def kill_while_held(there: Route, service: SmallGlobus, end: str, *, accepted: bool = False) -> None:
    """Kill main.py while the second service holds its request whose path ends so.

    Args:
        accepted: Carry out the first such request and close the connection; hold the repetition.
    """
    is_held, is_released = threading.Event(), threading.Event()
    to_lose = [end] if accepted else []

    def answer(method: str, path: str, query: dict[str, str], body: Any) -> Optional[Answer]:
        if not path.endswith(end):
            return None
        if to_lose:
            to_lose.clear()
            service.usual(method, path, query, body)
            return DROPPED
        is_held.set()
        is_released.wait(LONGEST_WAIT_SECONDS)
        return DROPPED

    service.answer = answer
    process = there.start("main.py")
    until(is_held.is_set, process)
    kill(process)
    spare(service)
    is_released.set()


@pytest.mark.parametrize(("end", "accepted"), [("/submission_id", False), ("/transfer", False), ("/transfer", True)])
def test_killed_at_a_request_there_the_next_run_delivers_once(
    there: Route, service: SmallGlobus, end: str, accepted: bool
) -> None:
    there.write("a.dat")
    kill_while_held(there, service, end, accepted=accepted)
    assert len(service.tasks) == accepted

    assert_recovers(there, service=service)


def test_killed_while_it_asks_there_what_became_of_a_task_the_next_run_asks_again(
    there: Route, service: SmallGlobus
) -> None:
    there.write("a.dat")
    there.run_here("main.py")
    kill_while_held(there, service, f"/task/{service.newest.task_id}")

    assert_recovers(there, service=service)
