"""Submissions that Globus refuses: too many, too large, already there, or not understood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from evidence_kept import recorded, recorded_text
from faulty import FaultCheck, assert_recovers
from small_globus import CHECKSUM, SmallGlobus, refusal
from struck import spare, strike
from suite import LONG_AGO, Route

from emulator.http.server import Emulator

REFUSED = "None of it was transferred or recorded."
SUBMITTING = "POST /v0.10/transfer"
CONFLICT = {
    "code": "Conflict",
    "message": "A transfer with identical paths has not yet completed",
    "request_id": "oRk4lxkbD",
}
TEAPOT = {"code": "Teapot", "message": "I am a teapot", "request_id": "oRk4lxkbD"}


FULL = pytest.mark.fault(
    "100 tasks of this account are pending already",
    sees="Globus did not accept task ... (HTTP 409, code ClientError.Conflict."
    f"TooManyPendingJobs, request_id ...). {REFUSED} Globus asks for fewer requests or fewer pending tasks. The next "
    "run tries again.",
    status=6,
    recorded="nothing",
)


@FULL
def test_a_queue_that_is_full_is_reported(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    route.write("a.dat")
    fill_the_queue(route, globus)

    fault.check(route.run("main.py", status=None), route)

    for task in list(globus.world.tasks.values()):
        globus.world.queue.cancel(task)
        globus.world.change_task(task.task_id, forget=True)
    globus.world.set_progress("immediate")
    assert_recovers(route)


@FULL
def test_a_queue_that_is_full_there_is_reported(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    """The code: from a program that handles it (jrussell9000/cloudpipe)."""
    there.write("a.dat")
    full = refusal(409, "ClientError.Conflict.TooManyPendingJobs", "Too many pending jobs")
    service.answer = lambda method, path, *rest: full if path.endswith("/transfer") else None

    fault.check(there.run_here("main.py", status=None), there)

    spare(service)
    assert_recovers(there, service=service)


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


LARGE = pytest.mark.fault("a request that is too large", sees="", status=0, recorded="10 paths under way")


@LARGE
def test_a_request_that_is_too_large_is_halved(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.limits.items_per_task = 3
    for number in range(10):
        route.write(f"{number}.dat")

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route, tasks=4)


@LARGE
def test_a_request_that_is_too_large_there_is_halved(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    for number in range(10):
        there.write(f"{number}.dat")
    refusing(service, 400, lambda paths: len(paths) > 3)  # status and words: not known

    fault.check(there.run_here("main.py", status=None), there)

    assert_recovers(there, tasks=4, service=service)


LARGE_ITEM = pytest.mark.fault(
    "a request that is too large though it holds one item",
    sees="Globus accepts no task with a.dat: A request may hold at most 300 bytes; this one holds ... (HTTP 413, code "
    "RequestTooLarge, request_id ...). It was not sent. It will be retried with growing delays, or at once after "
    "`set_time.py never --path=.../a.dat --config=...`.",
    status=3,
    recorded="1 path to be sent again",
)


@LARGE_ITEM
def test_one_item_that_is_too_large_is_set_aside(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.limits.request_bytes = 300
    route.write("a.dat")

    fault.check(route.run("main.py", status=None), route)

    globus.world.limits.request_bytes = None
    assert_recovers(route)


@LARGE_ITEM
def test_one_item_that_is_too_large_there_is_set_aside(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    there.write("a.dat")
    message = "A request may hold at most 300 bytes; this one holds 305"
    too_large = {"code": "RequestTooLarge", "message": message, "request_id": "small"}
    strike(service, SUBMITTING, status=413, json=too_large)

    fault.check(there.run_here("main.py", status=None), there)

    spare(service)
    assert_recovers(there, service=service)


IDENTICAL = pytest.mark.fault(
    "identical paths are in an open task that the datastore does not know",
    sees="Globus already has an open task with the paths of ..., which this datastore has no record of. When it "
    "has ended, these paths will be compared by checksum.",
    status=3,
    recorded="1 path under way",
)


@IDENTICAL
def test_an_open_task_with_the_same_paths_is_waited_for(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.set_progress("polls:3")
    route.write("a.dat")
    route.run_here("main.py")
    route.begin_anew()

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route, tasks=2)


@IDENTICAL
def test_an_open_task_there_with_the_same_paths_is_waited_for(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    service.is_held = True
    there.write("a.dat")
    there.run_here("main.py")
    there.begin_anew()

    fault.check(there.run_here("main.py", status=None), there)

    service.is_held = False
    assert_recovers(there, tasks=2, service=service)
    assert service.newest.posted["sync_level"] == CHECKSUM


NO_SUCH_TASK = pytest.mark.fault(
    "identical paths, says Globus, but there is no such task",
    sees="Globus did not accept task ...: A transfer with identical paths has not yet completed (HTTP 409, code "
    f"Conflict, request_id oRk4lxkbD). No such task was found. {REFUSED} The next run tries again.",
    status=6,
    recorded="nothing",
)


@NO_SUCH_TASK
def test_a_conflict_with_no_task_is_reported(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.add_fault(SUBMITTING, times=None, status=409, json=CONFLICT)
    route.write("a.dat")

    fault.check(route.run("main.py", status=None), route)

    globus.world.clear_faults()
    assert_recovers(route)


@NO_SUCH_TASK
def test_a_conflict_there_with_no_task_is_reported(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    strike(service, SUBMITTING, status=409, json=CONFLICT)
    there.write("a.dat")

    fault.check(there.run_here("main.py", status=None), there)

    spare(service)
    assert_recovers(there, service=service)


BAD = {"code": "ClientError.BadRequest", "message": "Oh.", "request_id": "small"}
REFUSED_PATH = (
    "Globus accepts no task with known/b\\t.tif: Oh. (HTTP {}, code ClientError.BadRequest, request_id small). It was "
    "not sent. It will be retried with growing delays, or at once after `set_time.py never --path="
)


def refusing(service: SmallGlobus, status: int, is_refused: Callable[[list[str]], bool]) -> None:
    """Refuse what a submission's source paths say."""

    def answer(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if path != "/v0.10/transfer" or not is_refused([item["source_path"] for item in body["DATA"]]):
            return None
        return status, BAD

    service.answer = answer


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(
            status,
            marks=pytest.mark.fault(
                f"a request is refused for one of its paths ({status})",
                sees=REFUSED_PATH.format(status),
                status=3,
                recorded="known/a in flight, known/b\t.tif retrying REQUEST_REFUSED, "
                + ", ".join(f"known/{name}.tif in flight" for name in "cdefg"),
            ),
        )
        for status in (400, 422)
    ],
)
def test_a_request_refused_for_one_of_its_paths_is_halved_until_that_stands_alone(
    there: Route, service: SmallGlobus, fault: FaultCheck, status: int
) -> None:
    there.write("known/a", "earlier")
    there.deliver_here()
    there.write("known/a", "newer", mtime_seconds=LONG_AGO + 50)
    for name in ("b\t", *"cdefg"):
        there.write(f"known/{name}.tif")
    refusing(service, status, lambda paths: any("\t" in path for path in paths))

    fault.check(there.run("main.py", status=None), recorded_text(there))

    there.run_here("main.py", "--wait", "60", status=3)
    posted = len(service.tasks)
    there.run_here("main.py", status=3, says="failed more than once (REQUEST_REFUSED)")  # it backs off now
    assert len(service.tasks) == posted
    there.run_here("status.py", "--path", str(there.src / "known"), status=3, says="1 backing off after failures")
    service.answer = lambda *request: None
    there.run_here("set_time.py", "never")
    there.deliver_here()
    assert set(recorded(there).values()) <= {"verified", "equal"}
    assert there.tree(there.dst) == there.tree()


def test_a_folder_that_is_refused_holds_up_nothing_else(there: Route, service: SmallGlobus) -> None:
    there.write("a")
    there.write("bad folder/deep/x")
    refusing(service, 400, lambda paths: any("bad folder" in path for path in paths))

    there.run_here("main.py", "--wait", "60", status=3, says="Globus accepts no task with bad folder")

    assert recorded(there) == {"a": "verified", "bad folder/deep/x": "retrying REQUEST_REFUSED"}


def test_a_limit_on_size_in_other_words_is_found_by_halving(there: Route, service: SmallGlobus) -> None:
    for number in range(20):
        there.write(f"{number}.dat")
    refusing(service, 400, lambda paths: len(paths) > 6)

    there.deliver_here()

    assert {len(task.posted["DATA"]) for task in service.tasks.values()} == {5}
    assert set(recorded(there).values()) == {"verified"}


@pytest.mark.fault(
    "every request is refused, whatever is in it",
    sees="Globus did not accept task ...: Oh. (HTTP 400, code ClientError.BadRequest, request_id small). None of it "
    "was transferred or recorded.",
    status=6,
    recorded="3 of 100 files retrying REQUEST_REFUSED",
)
def test_a_refusal_of_everything_ends_the_run(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    for number in range(100):
        there.write(f"{number:02}")
    refusing(service, 400, lambda paths: True)

    result = there.run("main.py", status=None)

    codes = list(recorded(there).values())
    fault.check(result, f"{len(codes)} of 100 files {' and '.join(set(codes))}")
    assert service.requests.count("POST /v0.10/transfer") < 20
    service.answer = lambda *request: None
    there.deliver_here()
    there.deliver_here()
    assert set(recorded(there).values()) == {"verified"}


TEAPOT_ANSWERS = pytest.mark.fault(
    "a refusal of a kind that is not known",
    sees="Globus did not accept task ...: I am a teapot (HTTP 418, code Teapot, request_id oRk4lxkbD). "
    f"{REFUSED} The next run tries again.",
    status=6,
    recorded="nothing",
)


@TEAPOT_ANSWERS
def test_an_unknown_refusal_is_reported_in_its_own_words(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.add_fault(SUBMITTING, times=None, status=418, json=TEAPOT)
    route.write("a.dat")

    fault.check(route.run("main.py", status=None), route)

    globus.world.clear_faults()
    assert_recovers(route)


@TEAPOT_ANSWERS
def test_an_unknown_refusal_there_is_reported_in_its_own_words(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    strike(service, SUBMITTING, status=418, json=TEAPOT)
    there.write("a.dat")

    fault.check(there.run_here("main.py", status=None), there)

    spare(service)
    assert_recovers(there, service=service)
