"""Submissions that Globus refuses: too many, too large, already there, or not understood."""

from __future__ import annotations

import pytest
from faulty import FaultCheck, assert_recovers
from suite import Route

from emulator.http.server import Emulator

REFUSED = "None of it was transferred or recorded."
SUBMITTING = "POST /v0.10/transfer"


@pytest.mark.fault(
    "100 tasks of this account are pending already",
    sees="Globus did not accept task ...: Only 100 tasks may be pending (HTTP 409, code LimitExceeded, request_id "
    f"...). {REFUSED} Globus asks for fewer requests or fewer pending tasks. The next run tries again.",
    status=6,
    recorded="nothing",
)
def test_a_queue_that_is_full_is_reported(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    route.write("a.dat")
    fill_the_queue(route, globus)

    fault.check(route.run("main.py", status=None), route)

    for task in list(globus.world.tasks.values()):
        globus.world.queue.cancel(task)
        globus.world.change_task(task.task_id, forget=True)
    globus.world.set_progress("immediate")
    assert_recovers(route)


def fill_the_queue(route: Route, globus: Emulator) -> None:
    """Let another route of the same account submit as many tasks as Globus takes."""
    globus.world.set_progress("polls:1000")
    folder = route.folder / "other"
    folder.mkdir()
    other = Route(folder, globus)
    other.configure(MAX_ITEMS_PER_TASK=1, MAX_TASKS_IN_FLIGHT=100)
    for number in range(100):
        other.write(f"{number}.dat")
    other.run_here("main.py")
    third = folder / "third"
    third.mkdir()
    last = Route(third, globus)
    last.configure(MAX_ITEMS_PER_TASK=1)
    for number in range(3):
        last.write(f"{number}.dat")
    last.run_here("main.py")
    assert len(globus.world.tasks) == 103  # three are worked, a hundred wait


@pytest.mark.fault("a request that is too large", sees="", status=0, recorded="10 paths under way")
def test_a_request_that_is_too_large_is_halved(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.limits.items_per_task = 3
    for number in range(10):
        route.write(f"{number}.dat")

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route, tasks=4)


@pytest.mark.fault(
    "a request that is too large though it holds one item",
    sees="Globus did not accept task ...: A request may hold at most 300 bytes; this one holds ... (HTTP 413, code "
    f"RequestTooLarge, request_id ...). It has only one item. {REFUSED}",
    status=6,
    recorded="nothing",
)
def test_one_item_that_is_too_large_is_reported(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.limits.request_bytes = 300
    route.write("a.dat")

    fault.check(route.run("main.py", status=None), route)

    globus.world.limits.request_bytes = None
    assert_recovers(route)


@pytest.mark.fault(
    "identical paths are in an open task that the datastore does not know",
    sees="Globus already has an open task with the paths of ..., which this datastore has no record of. When it "
    "has ended, these paths will be compared by checksum.",
    status=3,
    recorded="1 path under way",
)
def test_an_open_task_with_the_same_paths_is_waited_for(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.set_progress("polls:3")
    route.write("a.dat")
    route.run_here("main.py")
    route.begin_anew()

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route, tasks=2)


@pytest.mark.fault(
    "identical paths, says Globus, but there is no such task",
    sees="Globus did not accept task ...: A transfer with identical paths has not yet completed (HTTP 409, code "
    f"Conflict, request_id oRk4lxkbD). No such task was found. {REFUSED} The next run tries again.",
    status=6,
    recorded="nothing",
)
def test_a_conflict_with_no_task_is_reported(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    conflict = {
        "code": "Conflict",
        "message": "A transfer with identical paths has not yet completed",
        "request_id": "oRk4lxkbD",
    }
    globus.world.add_fault(SUBMITTING, times=None, status=409, json=conflict)
    route.write("a.dat")

    fault.check(route.run("main.py", status=None), route)

    globus.world.clear_faults()
    assert_recovers(route)


@pytest.mark.fault(
    "one task of several is refused for what is in it",
    sees="Globus did not accept task ...: The path is too long (HTTP 400, code ClientError.BadRequest, request_id "
    f"oRk4lxkbD). {REFUSED} The next run tries again. If the same happens, run test_config.py.",
    status=6,
    recorded="2 paths under way",
)
def test_one_refused_task_does_not_hold_up_the_others(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    route.configure(MAX_ITEMS_PER_TASK=1)
    for name in "abc":
        route.write(f"{name}.dat")
    refusal = {"code": "ClientError.BadRequest", "message": "The path is too long", "request_id": "oRk4lxkbD"}
    globus.world.add_fault(SUBMITTING, times=1, status=400, json=refusal)

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route, tasks=3)


@pytest.mark.fault(
    "a refusal of a kind that is not known",
    sees="Globus did not accept task ...: I am a teapot (HTTP 418, code Teapot, request_id oRk4lxkbD). "
    f"{REFUSED} The next run tries again.",
    status=6,
    recorded="nothing",
)
def test_an_unknown_refusal_is_reported_in_its_own_words(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    refusal = {"code": "Teapot", "message": "I am a teapot", "request_id": "oRk4lxkbD"}
    globus.world.add_fault(SUBMITTING, times=None, status=418, json=refusal)
    route.write("a.dat")

    fault.check(route.run("main.py", status=None), route)

    globus.world.clear_faults()
    assert_recovers(route)
