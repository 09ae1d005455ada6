"""status.py as people run it: the verdict, the answers about paths, the lists, and reading while a run is active."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from suite import DAY_SECONDS, DST_ID, LONG_AGO, ROOT, Route
from terminal import on_a_terminal
from waiting import until_held

from autotransfer.common.paths import display
from emulator.http.server import Emulator


def test_before_the_first_run_it_says_so_and_makes_nothing(lonely_route: Route) -> None:
    result = lonely_route.run("status.py", status=3)

    assert result.stdout.startswith("Attention: No run has been recorded yet.")
    assert list(lonely_route.code_path.iterdir()) == []
    assert lonely_route.run("status.py", "--json", status=3).json["findings"][0]["kind"] == "no_run"


def test_after_a_transfer_everything_is_delivered(route: Route) -> None:
    route.write("run42/a.txt", "abc")
    route.write("run42/データ.h5", "x" * 1000)
    route.deliver_here()

    result = route.run("status.py")
    found = route.run("status.py", "--json").json

    assert result.stdout.startswith("Everything delivered as of ")
    assert (found["verdict"], found["delivered"]) == ("delivered", {"files": 2, "size_bytes": 1003})
    assert found["last_run"]["counts"]["delivered"] == 2
    assert found["delivered_by_day"][-1]["files"] == 2


def test_it_needs_neither_the_network_nor_the_sdk(lonely_route: Route) -> None:
    lonely_route.write("known.txt")
    lonely_route.run_here("set_time.py", "now")
    lonely_route.run_here("main.py")
    lonely_route.environment["PYTHONVERBOSE"] = "1"

    result = lonely_route.run("status.py", says="Everything delivered")

    assert "globus_sdk" not in result.stderr
    assert "autotransfer.status.state" in result.stderr


def test_tasks_in_flight_are_shown_with_progress_and_their_page(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:1000")
    route.write("slow.dat", "y" * 5000)
    route.summary_here()
    (task,) = globus.world.tasks.values()
    route.summary_here()

    result = route.run("status.py", says="1 file, 5.0 kB waiting.")
    (shown,) = route.run("status.py", "--json").json["open_tasks"]

    assert f"https://app.globus.org/activity/{task.task_id}/overview" in result.stdout
    assert (shown["task_id"], shown["size_bytes"], shown["state"]) == (task.task_id, 5000, "submitted")
    assert 0 < shown["progress"]["part"] <= 1


@pytest.mark.parametrize("name", ["a b.dat", "it's 5 $HOME `x` \\.dat", "tab\there\n'\\x41.dat", "\u65e5\u202e.dat"])
def test_the_command_in_a_message_works_as_it_is_from_any_folder(route: Route, globus: Emulator, name: str) -> None:
    route.write(f"deep/deep/{name}")  # what the same path means from within `deep`, where it is relative
    route.deliver_here()
    route.write(f"deep/{name}")
    globus.world.add_outcome("skip", path="*/src/deep/*.dat", code="PERMISSION_DENIED")
    route.summary_here()
    said = route.run_here("main.py", status=3).stderr
    (command,) = re.findall(r"`set_time\.py (.*)`\.$", said, re.M)

    process = subprocess.run(
        ["bash", "-c", f"{sys.executable} {ROOT}/set_time.py {command}"],
        cwd=route.src / "deep",
        env=route.bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 0, process.stderr
    assert f"Last-transfer time of {display(f'deep/{name}')} is now never" in process.stdout


def test_failing_paths_are_named_with_globus_s_code_and_a_remedy(route: Route, globus: Emulator) -> None:
    route.write("good.txt")
    route.write("bad\n.txt")
    globus.world.add_outcome("skip", path="*/bad*", times=None, code="PERMISSION_DENIED")
    for _ in range(4):
        route.summary_here(status=None)

    result = route.run("status.py", status=3)
    found = route.run("status.py", "--json", status=3).json
    answer = route.run("status.py", "--path", str(route.src / "bad\n.txt"), "--json", status=3).json["paths"][0]

    assert "PERMISSION_DENIED: 1 file" in result.stdout
    assert "Give the user that the source collection acts as permission" in result.stdout
    assert "bad\\n.txt" in result.stdout
    assert [failure["attempts"] for failure in found["failures"]] == [2]
    assert (answer["state"], answer["retry"]["attempts"]) == ("backing_off", 2)
    assert answer["retry"]["next_try_at"] > found["asked_at"]


def test_a_failed_task_stays_visible_with_its_reason(route: Route, globus: Emulator) -> None:
    route.write("a.txt")
    globus.world.add_outcome("fail", path="*", times=1, code="ENDPOINT_ERROR")
    route.summary_here()
    route.summary_here(status=3)
    route.deliver_here()

    result = route.run("status.py", says="ENDPOINT_ERROR")
    found = route.run("status.py", "--json").json

    assert result.stdout.startswith("Everything delivered")
    assert [(task["state"], task["retrying_files"]) for task in found["bad_tasks"]] == [("failed", 1)]


def test_a_run_that_ended_badly_is_handed_on_in_its_own_words(route: Route, globus: Emulator) -> None:
    route.write("a.txt", "abc")
    globus.world.change_collection(DST_ID, gcp_connected=False)
    route.run("main.py", status=6)

    result = route.run("status.py", status=3)
    found = route.run("status.py", "--json", status=3).json

    assert "is not connected to Globus" in result.stdout
    assert (found["unsubmitted"], found["as_of_at"]) == ({"files": 1, "size_bytes": 3}, None)


def test_a_last_run_of_long_ago_is_reported(lonely_route: Route) -> None:
    lonely_route.write("a.txt")
    lonely_route.run_here("set_time.py", "now")
    for _ in range(5):
        lonely_route.run_here("main.py")
    with sqlite3.connect(lonely_route.code_path / "datastore") as datastore:
        (runs,) = datastore.execute("SELECT length(value) FROM Dict WHERE key = CAST('RUNS' AS BLOB)").fetchone()
    assert runs > 0
    assert lonely_route.run("status.py", "--json").json["next_run"]["interval_seconds"] > 0

    lonely_route.environment.update(PYTHONPATH=str(_clock_ahead(lonely_route.folder, days=2)))
    result = lonely_route.run("status.py", status=3)

    assert "The last run was 2 days ago" in result.stdout
    assert "Check that cron still starts main.py" in result.stdout


def _clock_ahead(folder: Path, *, days: int) -> Path:
    """A folder whose sitecustomize sets Python's clock ahead."""
    ahead = folder / "ahead"
    ahead.mkdir()
    (ahead / "sitecustomize.py").write_text(
        f"import time\ntrue = time.time_ns\ntime.time_ns = lambda: true() + {days * 86400 * 10**9}\n"
    )
    return ahead


# ---- one path ------------------------------------------------------------------------------------------------------


def states(route: Route, *paths: str, status: int = 3) -> list[str]:
    words = [word for path in paths for word in ("--path", path)]
    return [one.get("state", "folder") for one in route.run("status.py", *words, "--json", status=status).json["paths"]]


def test_is_run_42_safe_gets_a_yes_with_a_date(route: Route) -> None:
    route.write("run42/a.txt", "abc")
    route.write("run42/deep/b.txt", "defg")
    route.write("run43/c.txt")
    route.deliver_here()
    route.write("run43/late.txt")

    safe = route.run("status.py", "--path", str(route.src / "run42"))
    found = route.run("status.py", "--path", "run42", "--path", "run43", "--json", status=3).json["paths"]

    assert "run42/: yes, all of it was delivered by 20" in safe.stdout
    assert [one["is_delivered"] for one in found] == [True, False]
    assert (found[0]["delivered"], found[1]["unsent"]["files"]) == ({"files": 2, "size_bytes": 7}, 1)
    assert found[1]["oldest_waiting_path"] == "run43/late.txt"
    assert len(found[0]["tasks"]) == 1


def test_the_table_of_tasks_has_its_columns(route: Route) -> None:
    route.write("run/a.txt", "abc")
    route.deliver_here()

    heading, row, service = route.run_here("status.py", "--tasks", "5").stdout.splitlines()

    assert service == "Service: local, not Globus."
    assert heading.split() == ["NUMBER", "ENDED", "STATE", "FILES", "DELIVERED", "SIZE", "TASK"]
    assert row.split()[0] == "1" and row.split()[-5:-1] == ["1", "1", "3", "B"]


def test_a_delivered_file_is_answered_with_task_time_mtime_and_size(route: Route, globus: Emulator) -> None:
    route.write("a.txt", "abc")
    route.deliver_here()
    (task,) = globus.world.tasks.values()

    answer = route.run("status.py", "--path", "a.txt", "--json").json["paths"][0]
    said = route.run("status.py", "--path", "a.txt", says="yes, delivered at ").stdout

    assert (answer["state"], answer["task"]["task_id"]) == ("verified", task.task_id)
    assert answer["delivered"]["mtime_ns"] == answer["on_disk"]["mtime_ns"] == LONG_AGO * 10**9
    assert answer["delivered"]["size_bytes"] == 3
    assert task.task_id in said


def test_each_reason_why_a_file_is_not_delivered_is_reported_by_itself(route: Route, globus: Emulator) -> None:
    route.configure(EXCLUDE=["*.tmp", "scratch"], SETTLE_SECONDS=DAY_SECONDS)
    for name in ("same", "newer", "older", "gone", "touched"):
        route.write(f"{name}.txt")
    route.deliver_here()
    route.write("newer.txt", mtime_seconds=LONG_AGO + 5)
    route.write("older.txt", mtime_seconds=LONG_AGO - 5)
    route.write("touched.txt", mtime_seconds=time.time())
    (route.src / "gone.txt").unlink()
    route.write("new.txt")
    route.write("x.tmp")
    route.write("scratch/inner.txt")
    (route.src / "link").symlink_to("same.txt")
    os.mkfifo(route.src / "pipe")
    expected = {
        "newer.txt": "modified",
        "older.txt": "modified",
        "touched.txt": "unsettled",
        "gone.txt": "vanished",
        "new.txt": "new",
        "x.tmp": "excluded",
        "scratch/inner.txt": "excluded",
        "scratch": "excluded",
        "link": "symlink",
        "pipe": "special",
        "never/was.txt": "unknown",
        "same.txt": "verified",
    }

    assert dict(zip(expected, states(route, *expected))) == expected


def test_paths_in_flight_and_what_waits_behind_them_name_the_task(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:1000")
    route.write("scan/a.dat")
    route.write("b.dat")
    route.summary_here()
    route.write("scan/late.dat")
    route.write("b.dat", "changed", mtime_seconds=LONG_AGO + 5)

    answers = route.run(
        "status.py", "--path", "scan/a.dat", "--path", "scan/late.dat", "--path", "b.dat", "--json", status=3
    ).json["paths"]

    assert [answer["state"] for answer in answers] == ["in_flight", "waiting", "waiting"]
    assert {answer["task"]["task_id"] for answer in answers} == set(globus.world.tasks)


def test_a_name_that_globus_cannot_carry_keeps_its_folder_from_being_safe(route: Route) -> None:
    route.write("fine.txt")
    bad = os.fsencode(route.src) + b"/bad\xff.txt"
    Path(os.fsdecode(bad)).write_text("x")
    route.summary_here(status=3)

    folder = route.run("status.py", "--path", str(route.src), "--json", status=3).json["paths"][0]
    said = route.run("status.py", "--path", os.fsdecode(bad), status=3).stdout

    assert folder["error_count"] == 1
    assert folder["errors"][0]["why"].startswith("its name is not UTF-8")
    assert "bad\\xff.txt: no, it cannot be sent" in said


def test_what_set_time_assumed_is_not_proved_unless_it_is_accepted(lonely_route: Route) -> None:
    lonely_route.write("old/a.txt")
    lonely_route.run_here("set_time.py", "now")

    assert states(lonely_route, "old/a.txt", status=3) == ["assumed"]
    lonely_route.run(
        "status.py", "--path", "old", status=3, says="Not proved: 1 assumed: set_time.py declared them delivered."
    )
    lonely_route.run("status.py", "--path", "old/a.txt", "--accept", "assumed", says="yes, assumed")
    lonely_route.configure(ACCEPT=["assumed"])
    lonely_route.run("status.py", "--path", "old", says="Accepted: 1 assumed")
    lonely_route.run("status.py", "--path", "old", "--accept", "anything", status=2, says="not anything")


def test_a_folder_with_something_that_is_never_sent_is_proved_only_where_that_is_accepted(route: Route) -> None:
    route.configure(EXCLUDE=["*.tmp", "scratch"])
    for folder in ("good", "name", "folder", "link", "special"):
        route.write(f"{folder}/f")
    route.write("name/only.tmp")
    route.write("folder/scratch/only-copy")
    (route.src / "link/l").symlink_to("/etc/hostname")
    os.mkfifo(route.src / "special/pipe")
    route.deliver_here()

    said = {
        folder: route.run_here("status.py", "--path", folder, status=None)
        for folder in ("good", "name", "folder", "link", "special")
    }

    assert {folder: result.status for folder, result in said.items()} == {
        **dict.fromkeys(said, 3),
        "good": 0,
    }
    assert "Not proved: 1 skipped (by EXCLUDE)." in said["folder"].stdout
    assert "Not proved: 1 symlink, not sent." in said["link"].stdout
    route.run_here("status.py", "--path", "name", "--path", "folder", "--accept", "skipped,symlinks")
    route.run_here("status.py", "--path", "link", "--path", "special", "--accept", "symlinks,special_files")


def test_a_file_whose_contents_changed_with_its_times_put_back_is_named(route: Route) -> None:
    path = route.write("run/a", "before")
    route.write("run/b", "before")
    route.deliver_here()
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # until the kernel's clock has moved on
        path.write_text("after!")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    other = route.write("other", "other!", mtime_seconds=LONG_AGO)
    other.rename(route.src / "run/b")

    assert states(route, "run/a", "run/b", status=3) == ["touched", "touched"]
    assert route.summary_here()["modified"] == 0
    route.run("status.py", "--path", "run", status=3, says="2 with another ctime than when they were delivered")
    route.run_here("status.py", "--path", "run", "--accept", "touched")


def test_a_folder_that_is_gone_from_disk_is_answered_from_the_records(route: Route) -> None:
    route.write("run1/a.txt", "abc")
    route.write("keep.txt")
    route.deliver_here()
    (route.src / "run1/a.txt").unlink()
    (route.src / "run1").rmdir()

    answer = route.run("status.py", "--path", "run1", "--json", status=3).json["paths"][0]

    assert (answer["is_on_disk"], answer["is_delivered"]) == (False, False)
    assert answer["delivered"] == {"files": 1, "size_bytes": 3}


@pytest.mark.parametrize("path", ["/etc/passwd", ""])
def test_a_path_outside_src_dir_is_refused(route: Route, path: str) -> None:
    route.run("status.py", "--path", path, status=2)


# ---- lists ---------------------------------------------------------------------------------------------------------


def test_the_history_is_newest_first_with_open_tasks_on_top(route: Route, globus: Emulator) -> None:
    for name in "abc":
        route.write(f"{name}.txt")
        route.deliver_here()
    globus.world.set_progress("polls:1000")
    route.write("slow.txt")
    route.summary_here()

    tasks = route.run("status.py", "--tasks", "3", "--json").json["tasks"]
    said = route.run("status.py", "--tasks", "3").stdout.splitlines()

    assert [task["number"] for task in tasks] == [4, 3, 2]
    assert [task["state"] for task in tasks] == ["submitted", "succeeded", "succeeded"]
    assert len(said) == 5
    assert "in flight" in said[1]


def test_the_manifest_holds_every_delivered_path_in_both_formats(route: Route, tmp_path: Path) -> None:
    route.write('run/a,"b".txt', "abc")
    route.write("run/日.h5", "defg")
    (route.src / "empty").mkdir()
    os.utime(route.src / "empty", (LONG_AGO, LONG_AGO))
    route.deliver_here()
    target = tmp_path / "delivered.jsonl"

    printed = route.run("status.py", "--manifest", "-").stdout
    route.run("status.py", "--manifest", str(target), says="Wrote 3 delivered paths")

    rows = list(csv.DictReader(io.StringIO(printed)))
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [row["path"] for row in rows] == ["empty/", 'run/a,"b".txt', "run/日.h5"]
    assert [{name: str(value) for name, value in line.items()} for line in lines] == rows
    assert all(row["task_id"] for row in rows)
    assert [row["mtime"][:4] for row in rows] == ["", "2023", "2023"]  # that of an empty folder is not recorded


def test_a_manifest_into_a_full_disk_or_a_missing_folder_fails_in_words(route: Route) -> None:
    route.write("a.txt")
    route.deliver_here()

    route.run("status.py", "--manifest", "/no/such/folder/m.csv", status=5, says="Cannot write")
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            route.command("status.py", "--manifest", "-"),
            env=route.bare_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (process.returncode, "Traceback" in process.stderr) == (5, False)
    assert "What was printed is not complete." in process.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--tasks", "0"),
        ("--format", "csv"),
        ("--manifest", "m.txt"),
        ("--manifest", "m.csv", "--json"),
        ("--no-such-option",),
    ],
)
def test_what_does_not_go_together_is_refused(lonely_route: Route, words: tuple[str, ...]) -> None:
    lonely_route.run("status.py", *words, status=2)


# ---- the file and the terminal -------------------------------------------------------------------------------------


def test_a_datastore_of_another_route_or_a_damaged_one_is_a_matter_of_configuration(route: Route) -> None:
    route.write("a.txt")
    route.deliver_here()
    route.configure(DST_DIR=str(route.folder / "elsewhere"))
    route.run("status.py", status=5, says="is about another route")

    (route.code_path / "datastore").write_bytes(b"no datastore " * 1000)
    route.run("status.py", status=5, says="cannot be used")


def test_a_missing_code_path_is_a_matter_of_configuration(route: Route) -> None:
    route.configure(CODE_PATH=str(route.folder / "missing"))

    route.run("status.py", status=5, says="is not a folder")


def test_it_answers_while_a_run_is_active_and_shows_it(route: Route, globus: Emulator) -> None:
    route.write("a.txt")
    route.deliver_here()
    hold = globus.world.add_fault("POST /v0.10/transfer", hold=True)
    route.write("b.txt")
    with route.start("main.py") as run:
        until_held(hold, run)
        found = route.run("status.py", "--json").json
        assert run.poll() is None
        hold.release()
    assert found["delivered"]["files"] == 1
    if Path("/proc/locks").exists():
        assert found["active_run"]["pid"] == run.pid
    assert run.returncode == 0


def test_a_person_sees_colours_unless_no_color_says_otherwise(route: Route) -> None:
    route.write("a.txt")
    route.deliver_here()

    on_screen = on_a_terminal(route, "status.py").stdout
    route.environment["NO_COLOR"] = "1"

    assert "\033[32mEverything delivered" in on_screen
    assert "\033" not in on_a_terminal(route, "status.py").stdout.replace("\r\033[K", "")
    assert "\033" not in route.run("status.py").stdout
