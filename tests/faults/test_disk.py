"""The disk of CODE_PATH full, over quota or read-only: nothing is lost, and the run says where to make room."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import machine
import pytest
from faulty import FaultCheck, assert_recovers
from suite import Result, Route
from terminal import on_a_terminal, sign_in

from emulator.http.server import Emulator

KB = 1024
DISK_BYTES = 400 * KB
DELIVERED = "2 paths delivered; 1 task succeeded"
ON_ITS_WAY = "2 paths delivered, 1 path under way; 1 task succeeded"


@pytest.fixture
def ready(route: Route) -> Route:
    """A route with something delivered and something to send."""
    return machine.one_delivered_one_to_send(route)


@pytest.fixture
def small_disk(ready: Route) -> Iterator[Route]:
    """The same, with CODE_PATH on a small disk of its own."""
    with machine.disk(ready.code_path, DISK_BYTES):
        yield ready


@pytest.fixture
def person(route: Route) -> Route:
    """A route whose owner has signed in, with something delivered and something to send."""
    route.configure(CLIENT_SECRET_FILE="")
    sign_in(route)
    return machine.one_delivered_one_to_send(route)


# ---- full --------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "the disk under the datastore is full",
    sees="Cannot read or write the datastore ...: database or disk is full. ... recorded before is unharmed.",
    status=5,
    recorded=DELIVERED,
)
def test_a_full_disk_is_reported_and_nothing_is_sent_that_could_not_be_recorded(
    small_disk: Route, fault: FaultCheck
) -> None:
    filler = machine.fill(small_disk.code_path)

    fault.check(small_disk.run("main.py", status=None), small_disk)

    assert len(small_disk.sent()) == 1
    filler.unlink()
    assert_recovers(small_disk, tasks=2)


@pytest.mark.fault(
    "the disk is full before the first run",
    sees="Cannot write the log: no space left on device. ... Cannot open the datastore ...: database or disk is full.",
    status=5,
    recorded="nothing",
)
def test_a_disk_that_is_full_before_the_first_run_is_reported(route: Route, fault: FaultCheck) -> None:
    route.write("a.txt")
    with machine.disk(route.code_path, DISK_BYTES):
        filler = machine.fill(route.code_path)
        result = route.run("main.py", status=None)
        fault.check(result, "nothing" if not (route.code_path / "datastore").stat().st_size else "something")
        filler.unlink()

        assert_recovers(route)


def test_however_little_room_is_left_nothing_is_sent_twice_and_all_arrives(small_disk: Route) -> None:
    ended = set()
    for number, left_bytes in enumerate(range(0, 224 * KB, 32 * KB)):
        small_disk.write(f"new{number}.txt")
        filler = machine.fill(small_disk.code_path, left_bytes=left_bytes)
        ended.add(small_disk.run("main.py", status=None).status)
        filler.unlink()

    assert {0, 5} <= ended <= {0, 3, 5}, "the sizes tried do not reach from too little to enough"
    small_disk.deliver_here()
    assert_recovers(small_disk, tasks=len(small_disk.sent()))
    carried = [path for document in small_disk.sent() for path in small_disk.sent_paths(document)]
    assert len(carried) == len(set(carried))


@pytest.mark.fault(
    "the disk under the log is full",
    sees="Cannot write the log: no space left on device. Free space on its disk. The run goes on without it.",
    status=0,
    recorded=ON_ITS_WAY,
)
def test_a_log_that_cannot_grow_does_not_stop_a_run(ready: Route, fault: FaultCheck) -> None:
    result = machine.run(ready, "main.py", variables=machine.refusing(ready.code_path / "log", errno.ENOSPC))

    fault.check(result, ready)

    assert result.stderr.count("Cannot write the log") == 1
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "the disk under the token file is full as its owner signs in",
    sees="Cannot open the stored login ...tokens.db database or disk is full Check its "
    "disk: it may be full, or no longer there.",
    status=5,
    recorded="nothing",
)
def test_a_login_that_cannot_be_stored_is_reported(route: Route, fault: FaultCheck) -> None:
    route.configure(CLIENT_SECRET_FILE="")
    route.write("a.txt")
    usual = dict(route.environment)
    route.environment.update(machine.refusing(route.code_path / "tokens.db", errno.ENOSPC))

    fault.check(on_a_terminal(route, "test_config.py"), route)

    route.environment = usual
    sign_in(route)
    assert_recovers(route)


@pytest.mark.fault(
    "the disk under the token file is full as cron renews the login",
    sees="The stored login (tokens.db in CODE_PATH) cannot be read or written: database or disk is full.",
    status=5,
    recorded=DELIVERED,
)
def test_a_renewed_login_that_cannot_be_stored_is_reported(person: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.change_auth(expire_access_tokens=True)

    result = machine.run(person, "main.py", variables=machine.refusing(person.code_path / "tokens.db", errno.ENOSPC))
    fault.check(result, person)

    assert_recovers(person, tasks=2)


# ---- quota and size limits ---------------------------------------------------------------------------------------


@pytest.mark.fault(
    "the quota of the user of CODE_PATH is used up",
    sees="Cannot write the log: disk quota exceeded. ... Cannot read or write the datastore ...: disk I/O error. Check "
    "its disk: it may be full, or no longer there.",
    status=5,
    recorded=DELIVERED,
)
def test_a_quota_that_is_used_up_is_reported(ready: Route, fault: FaultCheck) -> None:
    fault.check(machine.run(ready, "main.py", variables=machine.refusing(ready.code_path, errno.EDQUOT)), ready)

    assert len(ready.sent()) == 1
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "the datastore has reached the process's limit of a file's size (ulimit -f)",
    sees="the datastore ...: disk I/O error.",
    status=5,
    recorded=DELIVERED,
)
def test_a_datastore_at_the_limit_of_its_size_is_reported(ready: Route, fault: FaultCheck) -> None:
    for number in range(1500):
        ready.write(f"sub/{number:04}-{'n' * 100}.txt")
    limit_bytes = (ready.code_path / "datastore").stat().st_size + 8 * KB
    with machine.limited(resource.RLIMIT_FSIZE, limit_bytes):
        result = ready.run("main.py", status=None)

    fault.check(result, ready)

    assert_recovers(ready, tasks=2)


# ---- read-only ---------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "the disk of CODE_PATH is read-only",
    sees="Cannot write in CODE_PATH ...: read-only file system. The file system of ... is read-only: have it mounted "
    "for writing, or move CODE_PATH. Nothing was sent or recorded.",
    status=5,
    recorded=DELIVERED,
)
@pytest.mark.parametrize("words", [("main.py",), ("main.py", "--dry-run"), ("set_time.py", "now")], ids=" ".join)
def test_a_read_only_disk_is_reported(ready: Route, fault: FaultCheck, words: tuple[str, ...]) -> None:
    fault.check(machine.run(ready, *words, before=machine.where(read_only=(ready.code_path,))), ready)

    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "the user of the crontab may not write in CODE_PATH any more",
    sees="Cannot read or write the datastore ...: attempt to write a readonly database. Give this user the right to "
    "write there: `chmod u+rwx ...state`. What was recorded before is unharmed.",
    status=5,
    recorded=DELIVERED,
)
def test_a_code_path_without_write_permission_is_reported(ready: Route, fault: FaultCheck) -> None:
    before = machine.without_rights()
    ready.code_path.chmod(0o500)

    result = machine.run(ready, "main.py", before=before)

    ready.code_path.chmod(0o700)
    fault.check(result, ready)
    assert len(result.stderr.splitlines()) == 2, "one cause is reported once, and the service"
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "CODE_PATH is gone",
    sees="CODE_PATH ... Make the folder ...state, or correct CODE_PATH. Nothing was sent or recorded.",
    status=5,
    recorded="nothing",
)
def test_a_code_path_that_is_gone_is_reported_and_not_made_anew(ready: Route, fault: FaultCheck) -> None:
    away = ready.code_path.rename(ready.folder / "away")

    result = ready.run("main.py", status=None)

    fault.check(result, "something" if ready.code_path.exists() else "nothing")
    away.rename(ready.code_path)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "the log cannot be set aside, because something lies in the place of log.1",
    sees="Cannot set the log aside as ...: ... Nothing was sent or recorded.",
    status=5,
    recorded=DELIVERED,
)
def test_a_log_that_cannot_be_set_aside_is_reported(ready: Route, fault: FaultCheck) -> None:
    ready.configure(LOG_MAX_BYTES=10_000)
    with (ready.code_path / "log").open("a") as log:
        log.write("a line of the past\n" * 1000)
    in_its_place = ready.code_path / "log.1"
    in_its_place.mkdir()

    result = ready.run("main.py", status=None)
    fault.check(result, ready)

    in_its_place.rmdir()
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "the log belongs to another user, as after a run as root",
    sees="Cannot open ...log: ... It belongs to another user, as after a run as root. Make it this user's own with "
    "`sudo chown ... ...`, or run this as that user. Nothing was sent or recorded.",
    status=5,
    recorded=DELIVERED,
)
@pytest.mark.parametrize("mode", [0o600, 0o666], ids=["closed", "open to all"])
def test_a_log_of_another_user_is_reported(ready: Route, fault: FaultCheck, mode: int) -> None:
    _check_with_a_file_given_away(ready, fault, ready.code_path / "log", mode)


@pytest.mark.fault(
    "the lock belongs to another user",
    sees="Cannot open ...lock: ... It belongs to another user, as after a run as root. Make it this user's own with "
    "`sudo chown ... ...`, or run this as that user. Nothing was sent or recorded.",
    status=5,
    recorded=DELIVERED,
)
@pytest.mark.parametrize("mode", [0o600, 0o666], ids=["closed", "open to all"])
def test_a_lock_of_another_user_is_reported(ready: Route, fault: FaultCheck, mode: int) -> None:
    _check_with_a_file_given_away(ready, fault, ready.code_path / "lock", mode)


def _check_with_a_file_given_away(ready: Route, fault: FaultCheck, path: Path, mode: int) -> None:
    before = machine.without_rights()
    path.chmod(mode)
    machine.give_away(path)

    result: Result = machine.run(ready, "main.py", before=before)

    fault.check(result, ready)
    os.chown(path, os.geteuid(), os.getegid())
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "a folder lies in the place of the log",
    sees="log is a folder. Move it away; a file of that name is made anew. Nothing was sent or recorded.",
    status=5,
    recorded=DELIVERED,
)
def test_a_folder_in_the_place_of_the_log_is_reported(ready: Route, fault: FaultCheck) -> None:
    log = ready.code_path / "log"
    log.unlink()
    log.mkdir()

    fault.check(ready.run("main.py", status=None), ready)

    log.rmdir()
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "a pipe lies in the place of the log",
    sees="log is a device, socket or pipe. Move it away; a file of that name is made anew. Nothing was sent",
    status=5,
    recorded=DELIVERED,
)
def test_a_pipe_in_the_place_of_the_log_holds_up_no_run(ready: Route, fault: FaultCheck) -> None:
    log = ready.code_path / "log"
    log.unlink()
    os.mkfifo(log)

    fault.check(ready.run("main.py", status=None), ready)

    log.unlink()
    assert_recovers(ready, tasks=2)
