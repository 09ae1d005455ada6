"""set_time.py: every way to say a time, every way to say it wrong, and which paths it reaches."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from pathlib import Path
from typing import Optional

import pytest
from evidence_kept import recorded
from small_globus import SmallGlobus
from suite import DAY_SECONDS, LONG_AGO, Route
from waiting import until_held

from autotransfer.transfer import ended
from emulator.http.server import Emulator

# LONG_AGO is 2023-11-14 22:13:20 in UTC and 23:13:20 in Berlin.
MOMENTS = [
    ("2023-11-14T22:13:20Z", "America/New_York"),
    ("2023-11-14T22:13:20+00:00", "America/New_York"),
    ("2023-11-14T23:13:20+01:00", "UTC"),
    ("2023-11-14T22:13:20", "UTC"),
    ("2023-11-14 22:13:20", "UTC"),
    ("2023-11-14T22:13:20.500", "UTC"),
    ("2023-11-14T22:13", "UTC"),
    ("2023-11-14T23:13:20", "Europe/Berlin"),
    ("2023-11-14T17:13:20", "America/New_York"),
    (" 2023-11-14T22:13:20 ", "UTC"),
]


def waiting(route: Route) -> list[str]:
    """The paths that the next run would send."""
    listed = route.run("main.py", "--dry-run").stdout
    return sorted(line.split("  ")[-1] for line in listed.splitlines()[:-1])


@pytest.mark.parametrize(("moment", "zone"), MOMENTS)
def test_a_time_is_local_unless_it_says_otherwise(lonely_route: Route, moment: str, zone: str) -> None:
    lonely_route.environment["TZ"] = zone
    lonely_route.write("before.txt", mtime_seconds=LONG_AGO - 1800)
    lonely_route.write("after.txt", mtime_seconds=LONG_AGO + 1800)

    lonely_route.run("set_time.py", moment)

    assert waiting(lonely_route) == ["after.txt"]


def test_a_date_alone_is_its_first_moment_here(lonely_route: Route) -> None:
    lonely_route.environment["TZ"] = "Europe/Berlin"
    midnight = 1_699_916_400  # 2023-11-14 00:00 in Berlin
    lonely_route.write("before.txt", mtime_seconds=midnight)
    lonely_route.write("after.txt", mtime_seconds=midnight + 1)

    lonely_route.run("set_time.py", "2023-11-14")

    assert waiting(lonely_route) == ["after.txt"]


@pytest.mark.parametrize("age", ["36h", "2160m", "129600s", "1d12h", "0w1d12h"])
def test_an_age_is_counted_back_from_now(lonely_route: Route, age: str) -> None:
    moment = time.time() - 36 * 3600
    lonely_route.write("before.txt", mtime_seconds=moment - 600)
    lonely_route.write("after.txt", mtime_seconds=moment + 600)

    lonely_route.run("set_time.py", age)

    assert waiting(lonely_route) == ["after.txt"]


def test_now_marks_everything_and_never_forgets_it_again(lonely_route: Route) -> None:
    lonely_route.write("a.txt")
    lonely_route.write("folder/b.txt")
    (lonely_route.src / "empty").mkdir()
    os.utime(lonely_route.src / "empty", (LONG_AGO, LONG_AGO))

    lonely_route.run("set_time.py", "now", says="3 paths count as transferred, 0 will be sent")
    nothing = waiting(lonely_route)
    lonely_route.run("set_time.py", "never", says="0 paths count as transferred, 3 will be sent")

    assert nothing == []
    assert waiting(lonely_route) == ["a.txt", "empty/", "folder/b.txt"]


@pytest.mark.parametrize(
    "moment",
    ["yesterday", "", " ", "2023-13-01", "2023-11-14T25:00", "5 e", "1.5h", "7", "7y", "h", "0001-01-01", "now()"],
)
def test_what_is_no_time_is_refused_with_examples(lonely_route: Route, moment: str) -> None:
    lonely_route.write("a.txt")

    result = lonely_route.run("set_time.py", moment, status=2, says="is not a time")

    for example in ("2026-03-01", "36h", "7d", "now", "never"):
        assert example in result.stderr
    assert "Nothing was changed." in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(lonely_route.code_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["2999-01-01", "2999-01-01T00:00:00Z"])
def test_a_time_in_the_future_is_refused(lonely_route: Route, moment: str) -> None:
    result = lonely_route.run("set_time.py", moment, status=2, says="is in the future")

    assert "Nothing was changed." in result.stderr
    assert list(lonely_route.code_path.iterdir()) == []


@pytest.mark.parametrize("age", ["3000w", "999999999w"])
def test_an_age_that_reaches_back_before_1970_is_refused(lonely_route: Route, age: str) -> None:
    lonely_route.write("a.txt")

    lonely_route.run("set_time.py", age, status=2, says="before 1970")

    assert list(lonely_route.code_path.iterdir()) == []


@pytest.mark.parametrize("words", [["-5d"], ["now", "later"], ["--when", "now"]])
def test_wrong_arguments_end_in_usage(lonely_route: Route, words: list[str]) -> None:
    result = lonely_route.run("set_time.py", *words, status=2, says="See set_time.py --help.")

    assert len(result.stderr.splitlines()) == 1


# ---- asking ------------------------------------------------------------------------------------------------------


def on_a_terminal(route: Route, answer: bytes, *, interrupt: bool = False) -> tuple[int, str]:
    """The exit status and all that was shown, with the answer typed in once the question is there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        route.command("set_time.py"), env=route.bare_environment(), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while b"): " not in shown:
            shown += os.read(ours, 65536)
        if interrupt:
            _interrupt(process)
        os.write(ours, answer)
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # the other end is closed: that is how a terminal ends
    os.close(ours)
    return process.wait(60), shown.decode()


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    # A signal that comes between the question and the wait for its answer is only seen with the next one.
    for _ in range(20):
        process.terminate()
        try:
            process.wait(1)
            return
        except subprocess.TimeoutExpired:
            pass


def test_on_a_terminal_the_time_is_asked_for_with_examples(lonely_route: Route) -> None:
    lonely_route.write("a.txt")

    status, shown = on_a_terminal(lonely_route, b"now\n")

    assert status == 0
    assert "Last-transfer time (2026-03-01, " in shown
    assert "1 path counts as transferred, 0 will be sent" in shown
    assert waiting(lonely_route) == []


@pytest.mark.parametrize("answer", [b"\x04", b"\n", b"soon\n"])
def test_an_answer_that_is_no_time_changes_nothing(lonely_route: Route, answer: bytes) -> None:
    lonely_route.write("a.txt")

    status, shown = on_a_terminal(lonely_route, answer)

    assert status == 2
    assert "Nothing was changed." in shown
    assert waiting(lonely_route) == ["a.txt"]


def test_an_interrupted_question_changes_nothing(lonely_route: Route) -> None:
    lonely_route.write("a.txt")

    status, shown = on_a_terminal(lonely_route, b"", interrupt=True)

    assert status == 130
    assert "What was recorded is kept" in shown
    assert "Traceback" not in shown
    assert waiting(lonely_route) == ["a.txt"]


def test_without_a_terminal_a_missing_time_is_an_error_and_never_a_wait(lonely_route: Route) -> None:
    lonely_route.run("set_time.py", status=2, says="TIME is missing, and there is no terminal to ask on")


# ---- paths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "cwd", "left"),
    [
        ("run7/a.txt", None, ["run7/deep/b.txt", "run70/c.txt"]),
        ("run7", None, ["run70/c.txt"]),
        ("run7/", None, ["run70/c.txt"]),
        ("./run7//deep/", None, ["run7/a.txt", "run70/c.txt"]),
        ("run7/../run70", None, ["run7/a.txt", "run7/deep/b.txt"]),
        (".", "run7", ["run70/c.txt"]),
        ("deep", "run7", ["run7/a.txt", "run70/c.txt"]),
        ("../run70/c.txt", "run7", ["run7/a.txt", "run7/deep/b.txt"]),
        (".", "", []),
    ],
)
def test_a_path_may_be_relative_to_the_working_directory_or_to_src_dir(
    lonely_route: Route, path: str, cwd: Optional[str], left: list[str]
) -> None:
    for name in ("run7/a.txt", "run7/deep/b.txt", "run70/c.txt"):
        lonely_route.write(name)

    done = subprocess.run(
        lonely_route.command("set_time.py", "now", "--path", path),
        cwd="/" if cwd is None else lonely_route.src / cwd,
        env=lonely_route.bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert waiting(lonely_route) == left


def test_paths_may_be_repeated_and_are_counted_once(lonely_route: Route) -> None:
    for name in ("run7/a.txt", "run7/deep/b.txt", "run8/c.txt", "d.txt"):
        lonely_route.write(name)
    paths = [str(lonely_route.src / name) for name in ("run7", "run7/deep", "run7/deep/b.txt", "d.txt")]

    words = [word for path in paths for word in ("--path", path)]
    lonely_route.run("set_time.py", "now", *words, says="3 paths count as transferred, 0 will be sent")

    assert waiting(lonely_route) == ["run8/c.txt"]


@pytest.mark.parametrize(
    "path",
    [
        "{src}2",
        "{src}2/file.txt",
        "{src}/..",
        "{src}/../src2/file.txt",
        "/",
        "/etc/passwd",
        "{src}/link/file.txt",
        "../src2",
    ],
)
def test_a_path_outside_src_dir_is_refused_even_one_with_the_same_beginning(lonely_route: Route, path: str) -> None:
    sibling = lonely_route.src.with_name("src2")
    sibling.mkdir()
    (sibling / "file.txt").write_text("x")
    (lonely_route.src / "link").symlink_to(sibling)
    lonely_route.write("a.txt")

    result = lonely_route.run(
        "set_time.py", "now", "--path", path.format(src=lonely_route.src), status=2, says="is not inside SRC_DIR"
    )

    assert "Nothing was changed." in result.stderr
    assert waiting(lonely_route) == ["a.txt"]


@pytest.mark.parametrize("path", ["no such file", "a.txt/inside", "folder/no such file", "no such folder/x"])
def test_an_unknown_path_is_an_error_and_nothing_is_changed(lonely_route: Route, path: str) -> None:
    lonely_route.write("a.txt")
    lonely_route.write("folder/b.txt")
    lonely_route.write("known.txt")
    words = ("--path", str(lonely_route.src / "known.txt"), "--path", str(lonely_route.src / path))

    result = lonely_route.run("set_time.py", "now", *words, status=2)

    assert f"{lonely_route.src}/{path}" in result.stderr
    assert "Nothing was changed." in result.stderr
    assert waiting(lonely_route) == ["a.txt", "folder/b.txt", "known.txt"]


def test_an_empty_path_is_refused_and_never_means_the_whole_tree(lonely_route: Route) -> None:
    lonely_route.write("a.txt")
    lonely_route.run("set_time.py", "now")

    lonely_route.run("set_time.py", "never", "--path", "", status=2, says="--path is empty")

    assert waiting(lonely_route) == []


@pytest.mark.parametrize("name", ["with blank ", " x", "new\nline", "quote'\"", "-n", "ü", "u\u0308"])
def test_any_name_can_be_given_as_a_path(lonely_route: Route, name: str) -> None:
    lonely_route.write(name)
    lonely_route.write("other")

    lonely_route.run("set_time.py", "now", "--path", str(lonely_route.src / name), says="1 path counts as transferred")

    assert waiting(lonely_route) == ["other"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        ("link", "does not exist, or is a symlink"),
        ("excluded.tmp", "is excluded (EXCLUDE)"),
        ("bad", "its name is not UTF-8"),
    ],
)
def test_a_path_that_is_never_sent_is_refused_with_the_reason(lonely_route: Route, make: str, says: str) -> None:
    lonely_route.configure(EXCLUDE=["*.tmp"])
    lonely_route.write("a.txt")
    lonely_route.write("excluded.tmp")
    (lonely_route.src / "link").symlink_to("a.txt")
    bad = lonely_route.src / os.fsdecode(b"bad\xff")
    bad.write_text("x")
    path = bad if make == "bad" else lonely_route.src / make

    lonely_route.run("set_time.py", "now", "--path", str(path), status=2, says=says)


def test_src_dir_behind_a_symlink_takes_paths_by_either_name(lonely_route: Route, tmp_path: Path) -> None:
    lonely_route.write("a.txt")
    lonely_route.write("b.txt")
    (tmp_path / "current").symlink_to(lonely_route.src)
    lonely_route.configure(SRC_DIR=str(tmp_path / "current"))

    lonely_route.run("set_time.py", "now", "--path", str(tmp_path / "current" / "a.txt"))
    lonely_route.run("set_time.py", "now", "--path", str(lonely_route.src / "b.txt"))

    assert waiting(lonely_route) == []


# ---- what it leaves alone ----------------------------------------------------------------------------------------


def test_a_dry_run_counts_and_changes_nothing(lonely_route: Route) -> None:
    lonely_route.write("a.txt")
    first = lonely_route.run("set_time.py", "now", "--dry-run", says="1 path counts as transferred, 0 will be sent")
    lonely_route.run("set_time.py", "now")
    before = (lonely_route.code_path / "datastore").read_bytes()

    lonely_route.run("set_time.py", "never", "-n", says="would be never")

    assert "Dry run: nothing was changed." in first.stdout
    assert (lonely_route.code_path / "datastore").read_bytes() == before
    assert waiting(lonely_route) == []


def test_what_a_task_carries_is_left_alone_and_counted(route: Route) -> None:
    assert route.globus is not None
    route.globus.world.set_progress("polls:1000")
    route.write("a.txt")
    route.summary()

    route.run("set_time.py", "never", says="1 is in flight and not changed")

    assert route.summary()["in_flight_tasks"] == 1
    assert len(route.sent()) == 1


def test_a_file_touched_a_moment_ago_never_counts_as_transferred(lonely_route: Route) -> None:
    lonely_route.configure(SETTLE_SECONDS=DAY_SECONDS)
    lonely_route.write("growing.dat", mtime_seconds=time.time() - 1)

    lonely_route.run("set_time.py", "now", says="0 paths count as transferred, 1 will be sent")


def test_while_a_run_is_active_nothing_is_changed(route: Route) -> None:
    assert route.globus is not None
    hold = route.globus.world.add_fault("GET /v0.10/submission_id", hold=True)
    route.write("a.txt")
    process = route.start("main.py")
    until_held(hold, process)

    route.run("set_time.py", "now", status=7)

    hold.release()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(route.sent()) == 1


def test_the_reset_is_in_the_log(lonely_route: Route) -> None:
    lonely_route.write("a.txt")

    lonely_route.run("set_time.py", "2023-11-15T00:00:00Z")

    assert "set_time time=2023-11-1" in (lonely_route.code_path / "log").read_text()
    assert "transferred=1 to_send=0" in (lonely_route.code_path / "log").read_text()


def test_a_path_in_a_folder_whose_name_is_not_utf_8_is_refused(lonely_route: Route) -> None:
    folder = os.fsencode(lonely_route.src) + b"/bad\xff"
    os.mkdir(folder)

    lonely_route.run(
        "set_time.py", "now", "--path", os.fsdecode(folder) + "/a.txt", status=2, says="bad\\xff/a.txt is in"
    )


def test_a_time_never_overwrites_what_globus_delivered_and_never_says_how_much_it_gives_up(route: Route) -> None:
    route.write("a")
    route.write("b")
    route.deliver_here()
    route.write("b", "newer", mtime_seconds=LONG_AGO + 100)

    route.run_here("set_time.py", "now")
    after = route.run_here("status.py", "--path", "a", "--path", "b", "--json", status=3).json["paths"]
    said = route.run_here("set_time.py", "never")

    assert [answer["state"] for answer in after] == ["verified", "assumed"]
    assert "1 of these had been delivered as they are now" in said.stdout + said.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("now",),
        ("2023-11-20",),
        ("1h",),
        ("now", "--path", "a"),
        ("2023-11-20", "--path", "scan"),
        ("now", "--path", "x"),
    ],
    ids=" ".join,
)
def test_a_time_leaves_task_and_moment_of_every_real_delivery(route: Route, words: tuple[str, ...]) -> None:
    """Also of an empty folder, of a file whose ctime alone has moved, and of one that is older than the time."""
    for name in ("a", "scan/b", "scan/deep/c", "x"):
        route.write(name)
    (route.src / "scan/empty").mkdir()
    route.deliver_here()
    (route.src / "x").chmod(0o640)
    before = route.run("status.py", "--manifest", "-", "--format", "jsonl").stdout

    route.run_here("set_time.py", *words)
    route.run_here("set_time.py", *words)

    assert before.count("verified") >= 4
    assert route.run("status.py", "--manifest", "-", "--format", "jsonl").stdout == before
    assert route.summary_here()["submitted"] == 0


def test_what_a_folder_item_carries_and_what_will_be_retried_keep_their_evidence(
    route: Route, globus: Emulator
) -> None:
    route.write("failing")
    route.deliver_here()
    route.write("failing", "newer", mtime_seconds=LONG_AGO + 100)
    globus.world.add_outcome("fail", path="*", times=1, code="ENDPOINT_ERROR")
    route.run_here("main.py", status=None)
    route.run_here("main.py", "--dry-run", status=None)
    globus.world.set_progress("polls:3")
    route.write("scan/a")
    route.run_here("main.py", status=None)

    route.run_here("set_time.py", "now", says="in flight and not changed")
    for _ in range(8):
        route.run_here("main.py", status=None)

    answers = route.run_here("status.py", "--path", "scan/a", "--path", "failing", "--json", status=None).json["paths"]
    assert [answer["state"] for answer in answers] == ["verified", "verified"]
    assert route.tree(route.dst) == route.tree()


def test_never_while_the_list_of_a_task_is_being_read_sends_all_of_it_again(
    there: Route, service: SmallGlobus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended, "PAGES_A_RUN", 1)
    service.page_size = 1
    for number in range(5):
        there.write(f"scan/{number}")
    there.run_here("main.py")
    there.run_here("main.py")
    counted = recorded(there)

    there.run_here("set_time.py", "never", says="5 of these had been delivered as they are now")
    there.deliver_here()

    assert "counted" in counted.values()
    assert set(recorded(there).values()) == {"equal"}
