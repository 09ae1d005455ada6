"""Tasks that end badly, stand still, or are forgotten: the run says what became of them and sends the rest again."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from faulty import FaultCheck, assert_recovers
from small_globus import CHECKSUM, SmallGlobus, SmallTask
from suite import DST_ID, Route, let_time_pass, start_with_one_file_away

from emulator.http.server import Emulator

HELD = "It carries 2 paths; without progress it will be canceled after 24 hours, and they will be retried. Its events: https://"
SPACE = "Free space at the destination, or have the quota there raised."
REST = "of 2 paths delivered; the rest will be retried. Its events: https://"
DAY_SECONDS = 86400


def row(name: str, *what: Any, sees: str, status: int = 3, recorded: str) -> Any:
    """A parameter set with its row: what befalls the task in the emulator, and in the second service."""
    mark = pytest.mark.fault(name, sees=sees, status=status, recorded=recorded)
    return pytest.param(*what, marks=mark, id=name)


Change = Callable[[SmallGlobus], None]


def failing(code: str, description: str, *, items: int = 0) -> Change:
    """The task has FAILED after this number of its files."""

    def change(service: SmallGlobus) -> None:
        service.fail(service.newest, code, description, items=items)

    return change


def half_copied(service: SmallGlobus) -> None:
    failing("CONNECTION_BROKEN", "connection broken", items=2)(service)
    service.newest.successful.clear()
    copy = service.newest.posted["DATA"][1]["destination_path"]
    os.truncate(copy, os.path.getsize(copy) // 2)


def unreadable(service: SmallGlobus) -> None:
    """The transfer node may not read b.dat. The row of the list: as globus-cli recorded one."""

    def denied(task: SmallTask) -> None:
        for skipped in task.skipped:
            skipped.update(error_code="PERMISSION_DENIED", is_directory=False, is_symlink=False)
        service.seen = lambda path: path

    service.seen = lambda path: None if path.endswith("/b.dat") else path
    service.after = denied


def standing(code: str = "", words: str = "", **more: Any) -> Change:
    """The task is shown as it stands, with a nice_status or other fields."""
    nice = {"nice_status": code, "nice_status_short_description": words, "is_ok": False, "faults": 1} if code else {}

    def change(service: SmallGlobus) -> None:
        service.is_held = True
        service.newest.document.update(**nice, **more)

    return change


def go_on(service: SmallGlobus) -> None:
    """The task is well again."""
    service.is_held = False
    service.newest.document.update(status="ACTIVE", nice_status="OK", is_ok=True, is_paused=False)


def two_files(route: Route) -> None:
    """Submit a task with two files."""
    route.write("a.dat")
    route.write("b.dat")
    route.run_here("main.py")


def task_id(globus: Emulator) -> str:
    """The last task's id."""
    return list(globus.world.tasks)[-1]


# ---- tasks that end --------------------------------------------------------------------------------------------------


ENDED = pytest.mark.parametrize(
    ("what", "change"),
    [
        row(
            "a task FAILED",
            {"outcome": "fail", "code": "ENDPOINT_ERROR", "after_files": 0},
            failing("ENDPOINT_ERROR", "endpoint error"),
            sees=f"Task ... ended failed (ENDPOINT_ERROR: endpoint error): 0 {REST}",
            recorded="2 paths under way; 1 task failed",
        ),
        row(
            "a task FAILED with half of its files copied",
            {"outcome": "fail", "code": "ENDPOINT_ERROR", "after_files": 1},
            failing("ENDPOINT_ERROR", "endpoint error", items=1),
            sees=f"Task ... ended failed (ENDPOINT_ERROR: endpoint error): 1 {REST}",
            recorded="1 path delivered, 1 path under way; 1 task failed",
        ),
        row(
            "a task FAILED with half a file copied",
            {"outcome": "half", "path": "*/b.dat"},
            half_copied,
            sees=f"Task ... ended failed (CONNECTION_BROKEN: connection broken): ... {REST}",
            recorded="2 paths under way; 1 task failed",
        ),
        row(
            "a task is canceled by the user",
            {"outcome": "cancel", "after_files": 1},
            failing("CANCELED", "canceled", items=1),
            sees=f"Task ... ended canceled (CANCELED: canceled): 1 {REST}",
            recorded="1 path delivered, 1 path under way; 1 task canceled",
        ),
        row(
            "a task expired",
            {"outcome": "expire", "after_files": 1},
            failing("EXPIRED", "deadline expired", items=1),
            sees=f"Task ... ended expired (EXPIRED: ...): 1 {REST}",
            recorded="1 path delivered, 1 path under way; 1 task expired",
        ),
        row(
            "a task finished with a skipped file",
            {"outcome": "skip", "path": "*/b.dat", "code": "PERMISSION_DENIED"},
            unreadable,
            sees="Task ... did not send b.dat: Globus could not read it (PERMISSION_DENIED). Fix its permissions. It "
            "will be retried with growing delays, or at once after `set_time.py never --path=.../b.dat --config=...`.",
            recorded="1 path delivered, 1 path under way; 1 task succeeded",
        ),
    ],
)


@ENDED
def test_what_a_task_did_not_bring_is_sent_again(
    route: Route, globus: Emulator, fault: FaultCheck, what: dict[str, Any], change: Change
) -> None:
    globus.world.add_outcome(times=1, **what)
    two_files(route)

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route, tasks=len(globus.world.tasks))


def check_there(there: Route, service: SmallGlobus, fault: FaultCheck, change: Change, *, tasks: int = 2) -> None:
    """The same in the second service."""
    two_files(there)
    change(service)

    fault.check(there.run_here("main.py", status=None), there)

    assert_recovers(there, tasks=tasks, service=service)


@ENDED
def test_what_a_task_did_not_bring_there_is_sent_again(
    there: Route, service: SmallGlobus, fault: FaultCheck, what: dict[str, Any], change: Change
) -> None:
    check_there(there, service, fault, change)


BY_ADMIN = pytest.mark.fault(
    "a task is canceled by an administrator",
    sees=f"Task ... ended canceled (CANCELED: canceled (Maintenance until Monday)): 0 {REST}",
    status=3,
    recorded="2 paths under way; 1 task canceled",
)


@BY_ADMIN
def test_a_task_that_an_administrator_canceled(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.set_progress("polls:3")
    two_files(route)
    globus.world.change_task(task_id(globus), cancel_by_admin="DESTINATION", message="Maintenance until Monday")

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route, tasks=2)


@BY_ADMIN
def test_a_task_that_an_administrator_canceled_there(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    def change(service: SmallGlobus) -> None:
        failing("CANCELED", "canceled")(service)
        by_admin = {"canceled_by_admin": "DESTINATION", "canceled_by_admin_message": "Maintenance until Monday"}
        service.newest.document.update(by_admin)

    check_there(there, service, fault, change)


# ---- tasks that stand still ------------------------------------------------------------------------------------------


STILL = pytest.mark.parametrize(
    ("what", "change"),
    [
        row(
            "a task is INACTIVE",
            {"inactive": True},
            standing("CREDENTIALS_EXPIRED", "credentials expired", status="INACTIVE"),  # the nice_status: assumed
            sees="Task ... is stalled: INACTIVE: its credentials expired; sign in again in the Globus web app to "
            "resume it. It carries 2 paths; it is not canceled.",
            recorded="2 paths under way",
        ),
        row(
            "a task is paused by an administrator",
            {"pause": True},
            standing("PAUSED", "paused", is_paused=True),
            sees="Task ... is stalled: PAUSED by an administrator of a collection; it continues when they resume it. "
            "It carries 2 paths; it is not canceled.",
            recorded="2 paths under way",
        ),
        row(
            "a task is INACTIVE because an administrator paused it",
            {"pause": True, "inactive": True},
            # Observed (int-brain-lab/ONE, its table of statuses); whether is_paused is true then is not known.
            standing("PAUSED_BY_ADMIN", "paused", status="INACTIVE"),
            sees="Task ... is stalled: PAUSED by an administrator of a collection; it continues when they resume it. "
            "It carries 2 paths; it is not canceled.",
            recorded="2 paths under way",
        ),
    ],
)


@STILL
def test_a_task_that_stands_still_is_reported_and_goes_on_later(
    route: Route, globus: Emulator, fault: FaultCheck, what: dict[str, Any], change: Change
) -> None:
    globus.world.set_progress("polls:3")
    two_files(route)
    globus.world.change_task(task_id(globus), **what)

    fault.check(route.run("main.py", status=None), route)

    over: dict[str, Any] = dict.fromkeys(what, False)
    globus.world.change_task(task_id(globus), **over)
    assert_recovers(route)


def check_goes_on_there(there: Route, service: SmallGlobus, fault: FaultCheck, change: Change) -> None:
    two_files(there)
    change(service)

    fault.check(there.run_here("main.py", status=None), there)

    go_on(service)
    assert_recovers(there, service=service)


@STILL
def test_a_task_that_stands_still_there_is_reported_and_goes_on_later(
    there: Route, service: SmallGlobus, fault: FaultCheck, what: dict[str, Any], change: Change
) -> None:
    check_goes_on_there(there, service, fault, change)


FAULTY = pytest.mark.parametrize(
    ("what", "change"),
    [
        row(
            "a task is stuck with faults",
            {"code": "PERMISSION_DENIED"},
            standing("PERMISSION_DENIED", "permission denied"),
            sees=f"Task ... is stalled: PERMISSION_DENIED: permission denied (... so far). {HELD} ... Give the user "
            "that the collection acts as permission: at the source to read, at the destination to write in DST_DIR.",
            recorded="2 paths under way",
        ),
        row(
            "the quota at the destination is exceeded",
            {"code": "QUOTA_EXCEEDED"},
            standing("QUOTA_EXCEEDED", "quota exceeded"),
            sees=f"Task ... is stalled: QUOTA_EXCEEDED: quota exceeded (... so far). {HELD} ... {SPACE}",
            recorded="2 paths under way",
        ),
        row(
            "a checksum does not hold",
            {"code": "VERIFY_CHECKSUM"},
            standing("VERIFY_CHECKSUM", "checksum verification failed"),
            sees=f"Task ... is stalled: VERIFY_CHECKSUM: checksum verification failed (... so far). {HELD}",
            recorded="2 paths under way",
        ),
    ],
)


@FAULTY
def test_a_task_with_faults_is_reported_and_goes_on_when_they_are_fixed(
    route: Route, globus: Emulator, fault: FaultCheck, what: dict[str, Any], change: Change
) -> None:
    globus.world.add_outcome("stall", path="*/b.dat", times=None, **what)
    two_files(route)

    fault.check(route.run("main.py", status=None), route)

    globus.world.clear_outcomes()
    assert_recovers(route)


@FAULTY
def test_a_task_with_faults_there_is_reported_and_goes_on_when_they_are_fixed(
    there: Route, service: SmallGlobus, fault: FaultCheck, what: dict[str, Any], change: Change
) -> None:
    check_goes_on_there(there, service, fault, change)


STUCK = pytest.mark.fault(
    "a task is stuck for longer than STUCK_HOURS",
    sees="Task ... made no progress for 0.1 hours (PERMISSION_DENIED ...), so it was canceled. What was not delivered "
    f"will be retried. Give the user ... permission: ... ended canceled (CANCELED: canceled): 1 {REST}",
    status=3,
    recorded="1 path delivered, 1 path under way; 1 task canceled",
)


@STUCK
def test_a_task_that_is_stuck_for_long_is_canceled(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    route.configure(STUCK_HOURS=0.1)
    globus.world.add_outcome("stall", path="*/b.dat", times=None)
    two_files(route)
    route.run("main.py", status=3)
    let_time_pass(route, hours=1)

    fault.check(route.run("main.py", status=None), route)

    globus.world.clear_outcomes()
    assert_recovers(route, tasks=2)


@STUCK
def test_a_task_that_is_stuck_there_for_long_is_canceled(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    there.configure(STUCK_HOURS=0.1)
    two_files(there)
    standing("PERMISSION_DENIED", "permission denied")(service)
    there.run_here("main.py", status=3)
    let_time_pass(there, hours=1)
    service.answer = lambda method, path, *rest: service.copy(service.newest, 1) if path.endswith("/cancel") else None

    fault.check(there.run_here("main.py", status=None), there)

    service.is_held = False
    assert_recovers(there, tasks=2, service=service)


def test_a_cancelation_that_takes_its_time_is_waited_for(there: Route, service: SmallGlobus) -> None:
    """Whether Globus answers so is not known: globus-evidence says that it may only have accepted the request."""
    there.configure(STUCK_HOURS=0.1)
    two_files(there)
    standing("PERMISSION_DENIED", "permission denied")(service)
    there.run_here("main.py", status=3)
    let_time_pass(there, hours=1)
    accepted = {"DATA_TYPE": "result", "code": "CancelAccepted", "message": "accepted", "request_id": "small"}
    service.answer = lambda method, path, *rest: (202, accepted) if path.endswith("/cancel") else None

    there.run_here("main.py", status=3)
    there.run_here("main.py", status=3)
    assert len(service.tasks) == 1

    failing("CANCELED", "canceled")(service)
    service.answer = lambda *request: None
    service.is_held = False
    there.run_here("main.py", status=3, says="ended canceled (CANCELED: canceled): 0 of 2 paths delivered")
    assert_recovers(there, tasks=2, service=service)


@pytest.mark.fault(
    "a quota that is really exceeded, with FAIL_ON_QUOTA_ERRORS",
    sees=f"Task ... ended failed (QUOTA_EXCEEDED: quota exceeded): 0 {REST} ... {SPACE}",
    status=3,
    recorded="2 paths under way; 1 task failed",
)
def test_a_destination_that_is_full_fails_the_task_when_told_so(
    route: Route, globus: Emulator, fault: FaultCheck
) -> None:
    route.configure(FAIL_ON_QUOTA_ERRORS=True, DST_DIR="/run")
    room = route.folder / "room"
    room.mkdir()
    route.dst = room / "run"
    globus.world.change_collection(DST_ID, root=room, quota_bytes=5)
    two_files(route)

    fault.check(route.run("main.py", status=None), route)

    globus.world.change_collection(DST_ID, quota_bytes=None)
    route.run("main.py", "-v", status=3, says="QUOTA_EXCEEDED")
    route.run("set_time.py", "never")  # after two failures their pause is five minutes
    assert_recovers(route, tasks=3)


UNKNOWN = pytest.mark.fault(
    "a task has a status that is not known",
    sees="Task ... is stalled: unknown status 'HIBERNATING'. It carries 2 paths; it is not canceled.",
    status=3,
    recorded="2 paths under way",
)


@UNKNOWN
def test_a_status_that_is_not_known_is_never_taken_for_success(
    route: Route, globus: Emulator, fault: FaultCheck
) -> None:
    two_files(route)
    document = {"DATA_TYPE": "task", "task_id": task_id(globus), "status": "HIBERNATING"}
    globus.world.add_fault("GET /v0.10/task/*", times=None, status=200, json=document)

    fault.check(route.run("main.py", status=None), route)

    globus.world.clear_faults()
    assert_recovers(route)


@UNKNOWN
def test_a_status_that_is_not_known_there_is_never_taken_for_success(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    check_goes_on_there(there, service, fault, standing(status="HIBERNATING"))


# ---- what Globus no longer shows -------------------------------------------------------------------------------------


FAILED_LONG_AGO = pytest.mark.fault(
    "a task failed more than 30 days ago: what it copied is no longer listed",
    sees=f"Task ... ended failed (ENDPOINT_ERROR: endpoint error): 0 {REST}",
    status=3,
    recorded="2 paths under way; 1 task failed",
)
SKIPPED_LONG_AGO = pytest.mark.fault(
    "a task that skipped files ended more than 30 days ago: which ones is no longer listed",
    sees="Task ... ended, and Globus no longer lists what it transferred. Its 2 paths will be retried, "
    "compared by checksum.",
    status=3,
    recorded="2 paths under way; 1 task succeeded",
)
SUCCEEDED_LONG_AGO = pytest.mark.fault(
    "a task that succeeded more than 30 days ago", sees="", status=0, recorded="2 paths delivered; 1 task succeeded"
)


def forgotten(task: SmallTask) -> None:
    """As Globus shows a task after 30 days (documented): with history_deleted, and without rows (assumed)."""
    task.successful.clear()
    task.skipped.clear()
    task.document.update(history_deleted=True)


@FAILED_LONG_AGO
def test_a_failed_task_without_its_list_there_is_sent_again_as_a_whole(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    def change(service: SmallGlobus) -> None:
        failing("ENDPOINT_ERROR", "endpoint error", items=1)(service)
        forgotten(service.newest)

    check_there(there, service, fault, change)
    assert service.newest.posted["sync_level"] == CHECKSUM


@SKIPPED_LONG_AGO
def test_skipped_files_without_their_list_there_are_sent_again(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    def change(service: SmallGlobus) -> None:
        unreadable(service)
        skip, first = service.after, service.newest

        def end(task: SmallTask) -> None:
            skip(task)
            if task is first:
                forgotten(task)

        service.after = end

    check_there(there, service, fault, change)
    assert service.newest.posted["sync_level"] == CHECKSUM


@SUCCEEDED_LONG_AGO
def test_a_success_without_its_list_there_is_a_success(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    def change(service: SmallGlobus) -> None:
        service.after = forgotten

    check_there(there, service, fault, change, tasks=1)


@FAILED_LONG_AGO
def test_a_failed_task_without_its_list_is_sent_again_as_a_whole(
    route: Route, globus: Emulator, fault: FaultCheck
) -> None:
    globus.world.add_outcome("fail", times=1, code="ENDPOINT_ERROR", after_files=1)
    two_files(route)
    globus.world.advance_clock(31 * DAY_SECONDS)

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route, tasks=2)
    assert route.sent()[-1]["sync_level"] == 3


@SKIPPED_LONG_AGO
def test_skipped_files_without_their_list_are_sent_again(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.add_outcome("skip", path="*/b.dat", times=1, code="PERMISSION_DENIED")
    two_files(route)
    globus.world.advance_clock(31 * DAY_SECONDS)

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route, tasks=2)
    assert route.sent()[-1]["sync_level"] == 3


@SUCCEEDED_LONG_AGO
def test_a_success_without_its_list_is_a_success(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    two_files(route)
    globus.world.advance_clock(31 * DAY_SECONDS)

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route)


@pytest.mark.fault(
    "a file was away while its folder was copied, and the list is no longer kept",
    sees="Task ... ended, and Globus no longer lists what it transferred. Its 3 paths will be retried, "
    "compared by checksum.",
    status=3,
    recorded="3 paths under way; 1 task succeeded",
)
def test_a_file_that_was_away_is_sent_though_the_list_is_gone(
    route: Route, globus: Emulator, fault: FaultCheck
) -> None:
    start_with_one_file_away(route, "abc")
    globus.world.advance_clock(31 * DAY_SECONDS)

    fault.check(route.run("main.py", status=None), route)

    assert_recovers(route, tasks=2)
