"""The datastore damaged, gone, foreign or hostile: it is refused by name and left alone; a backup restores it."""

from __future__ import annotations

import os
import pickle
import random
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import machine
import pytest
from faulty import FaultCheck, assert_recovers
from suite import LONG_AGO, Result, Route
from waiting import until

DELIVERED = "2 paths delivered; 1 task succeeded"
LEFT_ALONE = "the file is left as it was"
DAMAGED = (
    "The datastore ... cannot be used: ... Restore it from a backup, or move it away ... Nothing was sent or recorded."
)
ENOUGH_BYTES = 1 << 30


@pytest.fixture
def ready(route: Route) -> Route:
    """A route with something delivered and something to send."""
    return machine.one_delivered_one_to_send(route)


def check_refused(ready: Route, fault: FaultCheck, *damages: Callable[[Path], object]) -> None:
    """Do each damage to the datastore: the run must refuse it, send nothing and leave it; a backup restores it."""
    __tracebackhide__ = True
    path, backup = ready.code_path / "datastore", ready.folder / "backup"
    shutil.copy2(path, backup)
    for damage in damages:
        damage(path)
        before = content(path)

        with machine.limited(resource.RLIMIT_AS, ENOUGH_BYTES):  # what would take all memory shall not take ours
            result = ready.run("main.py", "-v", status=None)  # the second is no news to cron

        fault.check(result, LEFT_ALONE if content(path) == before else "the file was changed")
        shutil.copy2(backup, path)
    assert len(ready.sent()) == 1
    assert_recovers(ready, tasks=2)


def content(path: Path) -> object:
    """What a datastore holds, but for what each run says of itself; its bytes, where it cannot be read."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT key, value FROM Dict").fetchall()
            return sorted(row for row in rows if row[0] not in (b"LAST_RUN", b"RUNS", b"MARK"))
    except sqlite3.DatabaseError:
        return path.read_bytes()


# ---- gone --------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "the datastore, the log and alerts.json are deleted", sees="", status=0, recorded="3 paths under way"
)
def test_without_any_trace_of_a_run_the_next_one_is_the_first(ready: Route, fault: FaultCheck) -> None:
    """A datastore that alone is gone is in test_restored."""
    ready.begin_anew()

    fault.check(ready.run("main.py", status=None), ready)

    assert ready.sent()[-1]["sync_level"] == 2, "Globus copies only what differs"
    assert_recovers(ready, tasks=2)


# ---- damaged -----------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "the datastore is cut off",
    sees=DAMAGED,
    status=5,
    recorded=LEFT_ALONE,
)
def test_a_datastore_that_is_cut_off_is_refused(ready: Route, fault: FaultCheck) -> None:
    def cut(part: float) -> Callable[[Path], None]:
        return lambda path: os.truncate(path, int(path.stat().st_size * part))

    check_refused(ready, fault, *map(cut, (0.001, 0.5, 0.99)))


@pytest.mark.fault(
    "the datastore is overwritten with garbage",
    sees="The datastore ... cannot be used: file is not a database. Restore it from a backup, or move it away",
    status=5,
    recorded=LEFT_ALONE,
)
def test_garbage_in_the_place_of_the_datastore_is_refused(ready: Route, fault: FaultCheck) -> None:
    size_bytes = (ready.code_path / "datastore").stat().st_size
    noise = random.Random(4).randbytes(size_bytes)

    check_refused(ready, fault, lambda path: path.write_bytes(bytes(size_bytes)), lambda path: path.write_bytes(noise))


@pytest.mark.fault(
    "all pages of the datastore but the first are garbage",
    sees="The datastore ... cannot be used: database disk image is malformed. Restore it from a backup",
    status=5,
    recorded=LEFT_ALONE,
)
def test_garbage_in_the_pages_of_the_datastore_is_refused(ready: Route, fault: FaultCheck) -> None:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        first = int.from_bytes(content[16:18], "big")  # SQLite's page size
        path.write_bytes(content[:first] + random.Random(5).randbytes(len(content) - first))

    check_refused(ready, fault, damage)


def test_what_the_message_advises_works_move_it_away_and_say_what_has_arrived(ready: Route) -> None:
    path = ready.code_path / "datastore"
    path.write_bytes(b"garbage" * 1000)
    ready.write("sub/c.txt", "what is new", mtime_seconds=LONG_AGO + 7200)
    ready.run("main.py", status=5, says="move it away and record in a new one what has arrived, with set_time.py")

    path.rename(ready.folder / "damaged")
    ready.run("set_time.py", "2023-11-15T00:00Z", says="2 paths count as transferred, 1 will be sent by the next run")
    ready.deliver_here()

    assert ready.sent_paths(ready.sent()[-1]) == {"sub/c.txt"}
    assert_recovers(ready, tasks=2)


# ---- foreign -----------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "the datastore is of another version",
    sees="The datastore ... has format 999; this version reads format ... Run the version of this tool that "
    "wrote it, or move the file away",
    status=5,
    recorded=LEFT_ALONE,
)
def test_a_datastore_of_another_version_is_refused(ready: Route, fault: FaultCheck) -> None:
    check_refused(ready, fault, with_record("FORMAT_VERSION", pickle.dumps(999, protocol=4)))


@pytest.mark.fault(
    "the datastore belongs to another user",
    sees="Cannot open ...datastore: ... It belongs to another user, as after a run as root. Make it this user's own "
    "with `sudo chown ... ...datastore`, or run this as that user. Nothing was sent or recorded.",
    status=5,
    recorded=DELIVERED,
)
@pytest.mark.parametrize("mode", [0o600, 0o666], ids=["closed", "open to all"])
def test_a_datastore_of_another_user_is_refused(ready: Route, fault: FaultCheck, mode: int) -> None:
    before = machine.without_rights()
    path = ready.code_path / "datastore"
    path.chmod(mode)
    machine.give_away(path)

    result = machine.run(ready, "main.py", before=before)

    os.chown(path, os.geteuid(), os.getegid())
    fault.check(result, ready)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "a folder lies in the place of the datastore",
    sees="datastore is a folder. Move it away; a file of that name is made anew. Nothing was sent or recorded.",
    status=5,
    recorded="the folder is left as it was",
)
def test_a_folder_in_the_place_of_the_datastore_is_refused(ready: Route, fault: FaultCheck) -> None:
    path = ready.code_path / "datastore"
    path.rename(ready.folder / "backup")
    (path / "something").mkdir(parents=True)

    result = ready.run("main.py", status=None)

    fault.check(result, "the folder is left as it was" if (path / "something").is_dir() else "it is gone")
    shutil.rmtree(path)
    (ready.folder / "backup").rename(path)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "another program holds the datastore locked",
    sees="",
    status=0,
    recorded="2 paths delivered, 1 path under way; 1 task succeeded",
)
def test_a_reader_of_the_datastore_holds_up_no_run_for_good(ready: Route, fault: FaultCheck) -> None:
    reader = sqlite3.connect(ready.code_path / "datastore", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM Dict").fetchone()
    process = machine.start(ready, "main.py")
    until((ready.code_path / "datastore-journal").exists)
    reader.close()
    stdout, stderr = process.communicate(timeout=60)

    fault.check(Result(process.returncode, stdout, stderr), ready)
    assert_recovers(ready, tasks=2)


# ---- hostile -----------------------------------------------------------------------------------------------------


def put(path: Path, key: str, value: bytes) -> None:
    """Put bytes into the datastore as they are."""
    connection = sqlite3.connect(path)
    connection.execute("REPLACE INTO Dict (key, value) VALUES (?, ?)", (key.encode(), value))
    connection.commit()
    connection.close()


def with_record(key: str, value: bytes) -> Callable[[Path], None]:
    """The damage that puts these bytes into a record."""
    return lambda path: put(path, key, value)


class Shout:
    """What becomes a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return (subprocess.getoutput, (self.command,))


def many(count: int) -> bytes:
    """A list of ten of the same list of ten of the same list ...: few bytes, many values."""
    levels = b"".join(b"]\x94(" + bytes([0x68, number]) * 10 + b"e" for number in range(count))
    return b"\x80\x04]\x94" + levels + b"."


LEVELS = 200_000
INSANE = (
    b"\x80\x04Nr\xff\xff\xff\x0f.",  # a memo of 4 GB
    b"\x80\x04Np999999999\n.",  # a memo of 16 GB, in text
    b"\x80\x04\x8d" + (1 << 40).to_bytes(8, "little") + b".",  # a string of 1 TB that is only announced
    b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b".",  # bytes of 1 TB that are only announced
    b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b".",  # a frame of 1 TB that is only announced
    b"\x80\x04" + b"]" * LEVELS + b"a" * (LEVELS - 1) + b".",  # a list 200,000 levels deep
    b"\x80\x04" + b"(" * LEVELS + b"N" + b"t" * LEVELS + b".",  # a tuple 200,000 levels deep
    many(30),  # ten lists of ten lists of ten lists, 30 times
)


@pytest.mark.fault(
    "a pickle bomb in the datastore: a record that names code",
    sees=DAMAGED,
    status=5,
    recorded=LEFT_ALONE,
)
def test_code_in_the_datastore_is_not_run(ready: Route, fault: FaultCheck) -> None:
    witness = ready.folder / "witness"
    bomb = pickle.dumps(Shout(f"touch {witness}"), protocol=4)

    check_refused(ready, fault, *(with_record(key, bomb) for key in ("FORMAT_VERSION", "LEDGER", "/sub")))

    assert not witness.exists()
    pickle.loads(bomb)
    assert witness.exists(), "the bomb is none"


@pytest.mark.fault(
    "a value in the datastore that claims more memory than there is, or is nested 200,000 deep",
    sees=DAMAGED,
    status=5,
    recorded=LEFT_ALONE,
)
def test_a_value_of_no_sane_size_is_refused(ready: Route, fault: FaultCheck) -> None:
    check_refused(ready, fault, *(with_record("/sub", value) for value in INSANE))


@pytest.mark.fault(
    "a record of the datastore holds something else than it should",
    sees=DAMAGED,
    status=5,
    recorded=LEFT_ALONE,
)
def test_a_record_of_another_kind_is_refused(ready: Route, fault: FaultCheck) -> None:
    values = [pickle.dumps(value, protocol=4) for value in ("text", {"a": 1}, (1, 2, 3))]
    keys = ("ROUTE", "LEDGER", "ITEM_LIMIT", "/sub")

    check_refused(ready, fault, *(with_record(key, value) for key in keys for value in values))
