"""A datastore that was lost or restored beside newer traces of it is noticed, and nothing is sent or trusted blindly.

Against the second service where it matters what the destination holds.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import machine
import pytest
from evidence_kept import recorded, recorded_text
from faulty import FaultCheck
from small_globus import CHECKSUM, SmallGlobus
from suite import LONG_AGO, Result, Route
from waiting import until_held

from emulator.http.server import Emulator

LOST = "The datastore ... is gone: the log or alerts.json beside it knows of a run on ..."
NEVER_TOUCHED = "nothing was made in its place"
RESTORED = (
    "The datastore was restored or replaced: its last run was on ..., but the log or alerts.json knows of one on ..."
)
READ_ONLY = (("main.py", "--dry-run"), ("status.py",), ("status.py", "--json"), ("status.py", "--manifest", "-"))


def datastore(route: Route) -> Path:
    return route.code_path / "datastore"


def backed_up(route: Route) -> Path:
    """A copy of the datastore."""
    copy = route.folder / "backup"
    shutil.copy2(datastore(route), copy)
    return copy


def replaced_by_sqlite(path: Path) -> None:
    """Put a new database in the place of the datastore."""
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 1")
    connection.execute("CREATE TABLE x (y)")
    connection.execute("DROP TABLE x")
    connection.commit()
    connection.close()


def emptied_by_sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM Dict")
    connection.commit()
    connection.close()


LOSSES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "no bytes": lambda path: path.write_bytes(b""),
    "new": replaced_by_sqlite,
    "emptied": emptied_by_sqlite,
}


# ---- a lost datastore --------------------------------------------------------------------------------------------


@pytest.fixture
def excluded(there: Route) -> Route:
    """A route of which set_time.py excluded two files, and Globus has one."""
    there.write("2019/a")
    there.write("2019/b")
    there.run_here("set_time.py", "now")
    there.write("new", mtime_seconds=LONG_AGO + 9000)
    there.deliver_here()
    return there


@pytest.mark.fault(
    "the datastore is deleted, its log is there",
    sees=f"{LOST} Restore it from a backup. If there is none, say for all of SRC_DIR what had arrived: `set_time.py "
    "TIME` ... or `set_time.py never` ... Nothing was sent or recorded.",
    status=5,
    recorded=NEVER_TOUCHED,
)
def test_a_lost_datastore_is_reported_before_anything_is_sent(
    excluded: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    datastore(excluded).unlink()

    result = excluded.run("main.py", status=None)

    fault.check(result, "one was made" if datastore(excluded).exists() else NEVER_TOUCHED)
    assert len(service.tasks) == 1
    assert excluded.run("main.py", status=5) == Result(5, "", ""), "it is mailed once"


@pytest.mark.fault(
    "the datastore is emptied to no bytes, its log is there",
    sees=LOST.replace("gone", "empty"),
    status=5,
    recorded=NEVER_TOUCHED,
)
def test_an_emptied_datastore_is_lost_too(excluded: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    datastore(excluded).write_bytes(b"")

    result = excluded.run("main.py", status=None)

    fault.check(result, "one was made" if datastore(excluded).read_bytes() else NEVER_TOUCHED)
    assert len(service.tasks) == 1


@pytest.mark.parametrize("loss", LOSSES)
def test_every_script_says_that_the_datastore_is_lost_and_changes_nothing(
    excluded: Route, service: SmallGlobus, loss: str
) -> None:
    LOSSES[loss](datastore(excluded))
    before = {path.name: path.read_bytes() for path in excluded.code_path.iterdir() if path.name != "lock"}

    for words in READ_ONLY:
        excluded.run(*words, status=5, says="Restore it from a backup")
    excluded.run("set_time.py", "now", "--path", "2019", "--dry-run", status=5, says="Restore it from a backup")
    checks = {check["name"]: check for check in excluded.run("test_config.py", "--json", status=5).json["checks"]}
    after = {path.name: path.read_bytes() for path in excluded.code_path.iterdir() if path.name != "lock"}

    assert checks["datastore"]["ok"] is False
    assert "set_time.py never" in checks["datastore"]["remedy"]
    assert after.keys() == before.keys()
    assert loss != "gone" or after == before
    excluded.run("main.py", status=5)
    assert len(service.tasks) == 1


def hide_by_level(route: Route) -> None:
    (route.code_path / "log").unlink()
    route.configure(LOG_LEVEL="ERROR")


def rotate(route: Route) -> None:
    """As a run does, and lose what else could know."""
    (route.code_path / "log").rename(route.code_path / "log.1")
    (route.code_path / "alerts.json").unlink()


TRACES: dict[str, Callable[[Route], object]] = {
    "the log alone": lambda route: (route.code_path / "alerts.json").unlink(),
    "a rotated log alone": rotate,
    "the log, the notices torn": lambda route: (route.code_path / "alerts.json").write_bytes(b'{"datastore": ["0'),
    "the notices alone": lambda route: (route.code_path / "log").unlink(),
    "the notices alone, the log hides lines": hide_by_level,
}


@pytest.mark.parametrize("traces", TRACES)
def test_one_trace_is_enough(excluded: Route, service: SmallGlobus, traces: str) -> None:
    datastore(excluded).unlink()
    TRACES[traces](excluded)

    for _ in range(3):
        excluded.run_here("main.py", status=5)

    assert len(service.tasks) == 1


def test_the_traces_outlive_a_log_that_is_rotated_while_runs_are_refused(excluded: Route, service: SmallGlobus) -> None:
    datastore(excluded).unlink()
    (excluded.code_path / "alerts.json").unlink()
    excluded.run_here("main.py", status=5)
    for name in ("log", "log.1"):
        (excluded.code_path / name).unlink(missing_ok=True)

    excluded.run_here("main.py", status=5)

    assert len(service.tasks) == 1


def test_the_log_of_an_earlier_version_is_a_trace(lonely_route: Route) -> None:
    lonely_route.write("a")
    line = "2026-03-01T05:00:02Z 4711 INFO run status=0 seconds=1.37 folders=212 files=48210 submitted=0\n"
    (lonely_route.code_path / "log").write_text(line)

    lonely_route.run("main.py", status=5, says="is gone: the log or alerts.json beside it knows of a run on 2026-03-01")
    lonely_route.run("set_time.py", "now", says="1 path counts as transferred")
    lonely_route.run("main.py")


def test_a_run_killed_before_it_could_end_leaves_a_trace(route: Route, globus: Emulator) -> None:
    route.write("a")
    hold = globus.world.add_fault("POST /v0.10/transfer", hold=True)
    process = route.start("main.py")
    until_held(hold, process)
    process.kill()
    process.communicate()
    hold.release()
    datastore(route).unlink()

    route.run("main.py", status=5, says="is gone")


def test_a_first_run_killed_before_it_recorded_anything_is_still_the_first(route: Route, globus: Emulator) -> None:
    route.write("a")
    hold = globus.world.add_fault("GET /v0.10/submission_id", hold=True)
    process = route.start("main.py")
    until_held(hold, process)
    process.kill()
    process.communicate()
    hold.release()

    assert route.deliver()["delivered"] == 1


def test_the_first_run_of_a_route_is_recognized(route: Route) -> None:
    route.write("a")
    route.run_here("test_config.py", "--json")
    route.run_here("main.py", "--dry-run")
    route.run_here("set_time.py", "now", "--dry-run")
    route.run_here("status.py", "--json", status=3)
    route.run_here("timer.py", "job", "list")
    (route.code_path / "log").write_text("2026-03-01T05:00:02Z 4711 ERROR Cannot read SRC_DIR\n")
    (route.code_path / "alerts.json").write_text(json.dumps({"succeeded_at": 0.0, "problems": {}}))

    assert route.deliver()["delivered"] == 1


@pytest.mark.parametrize("loss", LOSSES)
def test_set_time_now_is_a_way_out_and_sends_nothing_unasked(excluded: Route, service: SmallGlobus, loss: str) -> None:
    LOSSES[loss](datastore(excluded))

    excluded.run_here("set_time.py", "now", says="3 paths count as transferred")
    excluded.deliver_here()

    assert len(service.tasks) == 1
    assert recorded(excluded) == dict.fromkeys(("2019/a", "2019/b", "new"), "assumed")
    excluded.run_here("main.py")


def test_after_never_everything_is_proved_by_checksum(excluded: Route, service: SmallGlobus) -> None:
    (excluded.dst / "2019").mkdir()
    (excluded.dst / "2019/a").write_text("CONTENT")  # as long, and newer than its source: to its time it is current
    datastore(excluded).unlink()

    excluded.run_here("set_time.py", "never", says="3 will be sent")
    excluded.deliver_here()

    assert {task.posted["sync_level"] for task in [*service.tasks.values()][1:]} == {CHECKSUM}
    assert recorded(excluded) == {"2019/a": "verified", "2019/b": "verified", "new": "equal"}
    assert excluded.tree(excluded.dst) == excluded.tree()


def test_after_a_time_what_is_newer_is_compared_by_checksum(excluded: Route, service: SmallGlobus) -> None:
    excluded.write("new", "CHANGED", mtime_seconds=LONG_AGO + 8000)
    datastore(excluded).unlink()

    excluded.run_here("set_time.py", "2023-11-15", says="2 paths count as transferred, 1 will be sent")
    excluded.deliver_here()

    assert recorded(excluded) == {"2019/a": "assumed", "2019/b": "assumed", "new": "verified"}
    assert (excluded.dst / "new").read_text() == "CHANGED"


# ---- a restored datastore ----------------------------------------------------------------------------------------


@pytest.fixture
def restored(there: Route) -> Route:
    """A route whose datastore was restored: it does not know of the second version of two files, nor of new ones."""
    there.write("same")
    there.write("modified", "1.1")
    there.write("put_back", "1.1")
    there.deliver_here()
    copy = backed_up(there)
    there.write("modified", "2.2", mtime_seconds=LONG_AGO + 2000)
    there.write("put_back", "2.2", mtime_seconds=LONG_AGO + 2000)
    there.write("later", "1.1", mtime_seconds=LONG_AGO + 2000)
    there.write("scan/later", "1.1", mtime_seconds=LONG_AGO + 2000)
    there.write("scan/unmodified")
    there.deliver_here()
    there.deliver_here()
    # Copies that are newer than their source, and as long: to their times they are current.
    there.write("modified", "3.3", mtime_seconds=LONG_AGO + 1000)
    there.write("put_back", "1.1")
    there.write("later", "3.3", mtime_seconds=LONG_AGO + 1000)
    there.write("scan/later", "3.3", mtime_seconds=LONG_AGO + 1000)
    shutil.copy2(copy, datastore(there))
    return there


@pytest.mark.fault(
    "the datastore is restored from a backup, its log is newer",
    sees=f"{RESTORED} What is new or was modified since is compared by checksum.",
    status=3,
    recorded="later in flight, modified in flight, put_back in flight, same verified, scan/later in flight, "
    "scan/unmodified in flight",
)
def test_a_restored_datastore_is_noticed(restored: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    service.is_held = True
    tasks = len(service.tasks)

    result = restored.run("main.py", status=None)

    in_flight = {name for name, word in recorded(restored).items() if word == "in flight"}
    assert in_flight == {"modified", "put_back", "later", "scan/later", "scan/unmodified"}
    assert {task.posted["sync_level"] for task in [*service.tasks.values()][tasks:]} == {CHECKSUM}
    fault.check(result, recorded_text(restored))


@pytest.mark.parametrize("traces", [None, *TRACES])
def test_what_was_sent_since_is_compared_by_checksum(restored: Route, service: SmallGlobus, traces: str | None) -> None:
    if traces is not None:
        TRACES[traces](restored)
    tasks = len(service.tasks)

    said = restored.summary_here("--wait", "60", status=3)["notices"]
    restored.run_here("main.py")

    assert any("The datastore was restored or replaced" in text for text in said)
    assert restored.tree(restored.dst) == restored.tree()
    assert {task.posted["sync_level"] for task in [*service.tasks.values()][tasks:]} == {CHECKSUM}
    evidence = recorded(restored)
    assert evidence.pop("scan/unmodified") == "equal"
    assert set(evidence.values()) == {"verified"}
    restored.run_here("status.py", "--path", ".", says="yes, all of it")


def test_it_is_named_until_what_changed_was_delivered(restored: Route, service: SmallGlobus) -> None:
    service.is_held = True
    words = "The datastore was restored or replaced"

    restored.run_here("status.py", status=3, says=words)
    dry = restored.run("main.py", "--dry-run", says=words)
    restored.run_here("main.py", status=3)
    restored.run_here("main.py", status=3)
    restored.run_here("status.py", status=3, says=words)
    service.is_held = False
    restored.run_here("main.py")
    said = restored.run_here("status.py")

    assert "put_back" in dry.stdout
    assert words not in said.stdout


def test_set_time_does_not_hide_a_restore(restored: Route, service: SmallGlobus) -> None:
    restored.run_here("set_time.py", "never", "--path", "same", says="The datastore was restored or replaced")

    restored.summary_here("--wait", "60", status=3)
    restored.run_here("main.py")

    assert restored.tree(restored.dst) == restored.tree()


def test_a_killed_run_after_a_restore_does_not_hide_it(restored: Route, service: SmallGlobus) -> None:
    with machine.Held(restored, "remove", "datastore-journal"):
        pass  # killed at the end of its first commit
    restored.run_here("test_config.py", "--json", status=None, says="The datastore was restored or replaced")

    restored.summary_here("--wait", "60", status=3)

    assert restored.tree(restored.dst) == restored.tree()


def test_a_change_feed_need_not_name_what_changed_before_the_restore(there: Route, service: SmallGlobus) -> None:
    names = there.folder / "names"
    names.write_text("")
    there.write("a", "1.1")
    there.summary_here("--paths-from", str(names), "--wait", "60")
    copy = backed_up(there)
    there.write("a", "2.2", mtime_seconds=LONG_AGO + 2000)
    names.write_text("a\n")
    there.summary_here("--paths-from", str(names), "--wait", "60")
    there.write("a", "3.3", mtime_seconds=LONG_AGO + 1000)
    shutil.copy2(copy, datastore(there))
    names.write_text("")

    there.summary_here("--paths-from", str(names), "--wait", "60", status=3)

    assert (there.dst / "a").read_text() == "3.3"


def test_a_datastore_of_another_place_is_noticed_and_one_of_before_the_marks(
    there: Route, service: SmallGlobus
) -> None:
    there.write("a")
    there.deliver_here()
    for mark in (("f" * 16, 1000), None):
        connection = sqlite3.connect(datastore(there))
        connection.execute("DELETE FROM Dict WHERE key = ?", (b"MARK",))
        if mark is not None:
            import pickle

            connection.execute("INSERT INTO Dict VALUES (?, ?)", (b"MARK", pickle.dumps(mark, protocol=4)))
        connection.commit()
        connection.close()

        there.run_here("main.py", status=3, says="restored or replaced")
        there.run_here("main.py")
        there.run_here("main.py")


def test_nothing_is_noticed_where_all_of_code_path_was_restored_or_the_clock_went_back(
    there: Route, service: SmallGlobus
) -> None:
    there.write("a")
    there.deliver_here()
    shutil.copytree(there.code_path, there.folder / "all")
    there.write("b")
    there.deliver_here()
    shutil.rmtree(there.code_path)
    (there.folder / "all").rename(there.code_path)

    there.run_here("main.py")
    log = there.code_path / "log"
    log.write_text(re.sub(r"^\d{4}", "2037", log.read_text(), flags=re.M))
    there.run_here("main.py")


# ---- a journal of another datastore ------------------------------------------------------------------------------


def grown(route: Route) -> Path:
    """A route with a copy of its datastore, which then grew; returns the copy."""
    for number in range(40):
        route.write(f"d{number:02}/f")
    route.deliver_here()
    copy = backed_up(route)
    for number in range(200):
        route.write(f"e{number:02}/with a long name{'.' * 100}")
    route.deliver_here()
    for number in range(40):
        route.write(f"d{number:02}/f", "changed", mtime_seconds=LONG_AGO + 2000)
    return copy


def killed_while_it_commits(route: Route) -> None:
    with machine.Held(route, "remove", "datastore-journal"):
        pass
    assert (route.code_path / "datastore-journal").exists()


def is_whole(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


@pytest.mark.fault(
    "a datastore is restored beside the journal of a killed run",
    sees=f"The journal beside the datastore was not its own, as after a restore. ... {RESTORED}",
    status=3,
    recorded="the datastore is whole, and the journal set aside",
)
def test_the_journal_of_a_killed_run_is_not_applied_to_a_restored_datastore(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    copy = grown(there)
    killed_while_it_commits(there)
    shutil.copy2(copy, datastore(there))

    there.run("status.py", status=5, says="A journal of another datastore lies beside")
    result = there.run("main.py", status=None)

    is_aside = (there.code_path / "datastore-journal.unused").exists() and is_whole(datastore(there))
    fault.check(result, "the datastore is whole, and the journal set aside" if is_aside else "it is damaged")
    there.deliver_here()
    assert there.tree(there.dst) == there.tree()


def test_the_journal_of_a_killed_run_is_applied_to_its_own_datastore(there: Route, service: SmallGlobus) -> None:
    grown(there)
    killed_while_it_commits(there)
    together = there.folder / "together"
    together.mkdir()
    for name in ("datastore", "datastore-journal"):  # as the manual's backup does
        shutil.copy2(there.code_path / name, together / name)

    there.deliver_here()

    assert not (there.code_path / "datastore-journal.unused").exists()
    assert is_whole(datastore(there))
    assert there.tree(there.dst) == there.tree()
    for name in ("datastore", "datastore-journal"):
        shutil.copy2(together / name, there.code_path / name)
    there.summary_here("--wait", "60", status=3)
    assert is_whole(datastore(there))
    assert not (there.code_path / "datastore-journal.unused").exists()


def test_a_journal_beside_a_lost_datastore_harms_no_new_one(there: Route, service: SmallGlobus) -> None:
    grown(there)
    killed_while_it_commits(there)
    datastore(there).unlink()

    there.run_here("main.py", status=5)
    there.run_here("set_time.py", "never")
    there.deliver_here()

    assert is_whole(datastore(there))
    assert there.tree(there.dst) == there.tree()


def test_the_backup_of_the_manual_waits_for_a_run(route: Route, globus: Emulator) -> None:
    route.write("a")
    hold = globus.world.add_fault("POST /v0.10/transfer", hold=True)
    process = route.start("main.py")
    until_held(hold, process)

    at_once = subprocess.run(["flock", "--nonblock", route.code_path / "lock", "true"], check=False).returncode
    hold.release()
    process.communicate()
    later = subprocess.run(["flock", "--nonblock", route.code_path / "lock", "true"], check=False).returncode

    assert (at_once, later) == (1, 0)
