"""What a run and status.py conclude: what is known not to arrive is never passed over, and no path counts twice."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest
from small_globus import SmallGlobus
from suite import LONG_AGO, Route

from autotransfer.plan import compare
from emulator.http.server import Emulator


def overview(route: Route, *, status: int = 0) -> Any:
    return json.loads(route.run_here("status.py", "--json", status=status).stdout)


def files(answer: Any) -> dict[str, int]:
    """How many files are in which state."""
    return {name: answer[name]["files"] for name in ("delivered", "in_flight", "retrying", "unsubmitted", "pending")}


# ---- what does not arrive --------------------------------------------------------------------------------------------


def test_between_the_tries_of_a_file_that_never_arrives_every_run_ends_with_3_and_one_mail_is_sent(
    there: Route, service: SmallGlobus
) -> None:
    service.seen = lambda path: None if path.endswith("bad") else path
    there.write("good")
    there.write("bad")

    ended = [there.run("main.py", status=None) for _ in range(8)]

    assert [run.status for run in ended] == [0, *[3] * 7]
    assert [bool(run.stderr) for run in ended] == [False, True, *[False] * 6]
    answer = overview(there, status=3)
    assert [finding["kind"] for finding in answer["findings"]] == ["failing_paths"]
    assert "1 path failed more than once (FILE_NOT_FOUND)" in there.run("main.py", "-v", status=3).stderr


def test_a_path_that_failed_more_than_once_still_counts_while_it_is_in_flight_again(
    there: Route, service: SmallGlobus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "LONGEST_PAUSE_NS", 0)  # every failure is retried by the next run
    service.seen = lambda path: None if path.endswith("bad") else path
    there.write("bad")
    for _ in range(3):
        there.run_here("main.py", status=None)
    service.is_held = True
    there.run_here("main.py", status=None)

    said = there.run_here("main.py", "-v", status=3)

    assert "1 path failed more than once (in flight again)" in said.stderr
    answer = overview(there, status=3)
    assert (files(answer)["in_flight"], answer["findings"][0]["kind"]) == (1, "failing_paths")


def test_a_failure_that_was_not_mailed_yet_is_mailed_between_its_tries(there: Route, service: SmallGlobus) -> None:
    """A copy of another size is no notice of its own."""
    shorter = there.folder / "shorter"
    shorter.write_text("x")
    service.seen = lambda path: str(shorter) if path.endswith("bad") else path
    there.write("bad", "longer")

    said = [there.run("main.py", status=None).stderr for _ in range(8)]

    (mail,) = filter(None, said)
    assert mail.startswith("1 path failed more than once (SIZE_DIFFERS); status.py says which and why.\n")


# ---- one path, one state ---------------------------------------------------------------------------------------------


def test_what_set_time_will_have_sent_is_waiting_until_a_run_has_found_it(route: Route) -> None:
    for number in range(4):
        route.write(f"a/{number}", "12345")
    route.deliver_here()
    route.run_here("set_time.py", "never", says="4 will be sent by the next run")

    answer = overview(route)

    assert (answer["verdict"], files(answer)["delivered"], answer["unsubmitted"]) == (
        "waiting",
        0,
        {"files": 4, "size_bytes": 20},
    )
    route.summary_here()
    assert overview(route)["unsubmitted"]["files"] == 0
    route.deliver_here()
    assert overview(route)["verdict"] == "delivered"


def test_a_dry_run_and_a_run_that_ends_early_do_not_forget_what_set_time_will_have_sent(
    route: Route, globus: Emulator
) -> None:
    route.write("a")
    route.deliver_here()
    route.run_here("set_time.py", "never")
    globus.world.add_fault("GET /v0.10/endpoint/*", status=503, json={"code": "X", "message": "away"}, times=None)

    route.run_here("main.py", "--dry-run")
    route.run_here("main.py", status=6)

    answer = overview(route, status=3)
    assert (files(answer)["delivered"], answer["unsubmitted"]["files"] > 0) == (0, True)


def test_a_path_whose_newer_version_waits_is_not_delivered(route: Route, globus: Emulator) -> None:
    route.configure(MAX_ITEMS_PER_TASK=2, MAX_TASKS_IN_FLIGHT=1)
    names = [f"{number}.dat" for number in range(6)]
    for name in names:
        route.write(name, "12345")
    for _ in names:
        route.summary_here("--wait")
    assert files(overview(route))["delivered"] == 6
    globus.world.set_progress("polls:20")
    for name in names:
        route.write(name, "1234567", mtime_seconds=LONG_AGO + 100)

    summary = route.summary_here()

    assert (summary["outdated"], summary["outdated_bytes"], summary["unsubmitted"]) == (4, 20, 4)
    assert files(overview(route)) == {"delivered": 0, "in_flight": 2, "retrying": 0, "unsubmitted": 4, "pending": 6}
    said = route.run_here("status.py").stdout
    assert "6 files, 42 B waiting. Delivered: 0 files, 0 B" in said


def test_a_delivered_file_that_is_being_written_again_is_held_back_and_not_delivered(route: Route) -> None:
    route.configure(SETTLE_SECONDS=3600)
    route.write("a")
    route.write("b")
    route.deliver_here()
    route.write("a", "again", mtime_seconds=time.time())
    route.summary_here()

    answer = overview(route)

    assert (answer["verdict"], files(answer)["delivered"], answer["held_files"]) == ("waiting", 1, 1)


# ---- what a verdict rests on -----------------------------------------------------------------------------------------


def test_the_verdict_rests_on_the_last_full_scan_whatever_a_list_named_since(route: Route) -> None:
    route.write("a")
    route.summary_here("--paths-from", os.devnull, "--wait")
    full = route.summary_here("--full")
    names = route.folder / "names"
    names.write_text("a\n")
    route.write("never-named")

    route.summary_here("--paths-from", str(names))

    answer = overview(route)
    assert answer["as_of_at"] == answer["last_run"]["full_scan_at"] == full["started_at"]
    assert "read only what its list named" in answer["headline"]


def test_a_quick_scan_says_that_it_does_not_see_what_was_rewritten_in_place(route: Route) -> None:
    route.configure(SCAN="quick")
    route.write("a/b")
    route.deliver_here()
    full = route.summary_here("--full")
    route.write("a/b", "rewritten", mtime_seconds=LONG_AGO + 100)

    assert route.summary_here()["scan"] == "quick"
    route.summary_here()

    answer = overview(route)
    assert (answer["as_of_at"], answer["verdict"] == "delivered") == (
        full["started_at"],
        "which does not see files rewritten in place" in answer["headline"],
    )


# ---- what a dry run lists --------------------------------------------------------------------------------------------


def test_a_dry_run_lists_what_waits_and_why(there: Route, service: SmallGlobus) -> None:
    service.seen = lambda path: None if path.endswith("bad") else path
    there.configure(MAX_ITEMS_PER_TASK=1, MAX_TASKS_IN_FLIGHT=2, SETTLE_SECONDS=3600)
    for name in ("bad", "flying"):
        there.write(name)
    for _ in range(3):
        there.run_here("main.py", status=None)
    service.is_held = True
    there.write("flying", "longer", mtime_seconds=LONG_AGO + 50)
    there.run_here("main.py", status=None)
    there.write("flying", "longer still", mtime_seconds=LONG_AGO + 100)
    there.write("young", mtime_seconds=time.time())
    for name in ("new1", "new2"):
        there.write(name)

    lines = there.run_here("main.py", "--dry-run", status=None).stdout.splitlines()

    words = {line.rsplit("  ", 1)[-1].strip(): line[:24].strip() for line in lines[:-1]}
    assert words["bad"] == "backing off"
    assert words["flying"] == "waiting for a task"
    assert words["young"] == "modified too recently"
    assert sorted([words["new1"], words["new2"]]) == ["left to a later run", "new"]
    assert "2 paths (" in lines[-1]
    assert "1 of them not by this run, but by later ones" in lines[-1]


# ---- evidence at a glance --------------------------------------------------------------------------------------------


def test_the_overview_counts_the_evidence_and_the_verdict_names_what_is_not_proved(route: Route) -> None:
    route.write("sent")
    route.deliver_here()
    route.write("assumed", mtime_seconds=LONG_AGO)
    route.run_here("set_time.py", "now")
    route.summary_here()

    answer = overview(route)

    assert answer["schema"] == 2
    assert {word: count for word, count in answer["evidence"].items() if count} == {"verified": 1, "assumed": 1}
    assert answer["headline"].endswith("; not proved: 1 assumed.")
    assert "1 verified by checksum" in route.run_here("status.py").stdout
