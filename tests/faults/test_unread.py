"""Paths that their folder lists and that never can be read: found after a few runs, not taken for removed for ever."""

from __future__ import annotations

import errno
import os

import machine
import pytest
from faulty import FaultCheck, assert_recovers
from suite import Result, Route

from autotransfer.plan.rescan import MOVED_RUNS

DELIVERED = "2 paths delivered; 1 task succeeded"
SCANS = ("full", "quick", "paths")
Fails = dict[str, str]


@pytest.fixture(params=SCANS)
def prepared(request: pytest.FixtureRequest, route: Route) -> tuple[Route, tuple[str, ...]]:
    """A route with two files delivered and odd ones to come, and the options of its runs, by kind of scan."""
    if request.param == "quick":
        route.configure(SCAN="quick")
    names = route.folder / "names"
    names.write_text("")
    options = ("--paths-from", str(names)) if request.param == "paths" else ()
    route.write("a.txt")
    route.write("sub/b.txt")
    route.run("main.py", *options, "--wait")
    route.write("sub/odd/c.txt")
    route.write("sub/odd.txt")
    names.write_text("sub/odd\nsub/odd.txt\n")
    return route, options


def runs(route: Route, options: tuple[str, ...], fails: Fails) -> list[Result]:
    """A few runs during which the odd one cannot be read; only the first with a feed has its name."""
    results = []
    for _ in range(MOVED_RUNS):
        results.append(machine.run(route, "main.py", "--wait", *options, variables=fails))
        (route.folder / "names").write_text("")
    return results


@pytest.mark.fault(
    "a folder is listed and never opens",
    sees="Skipped ...sub/odd: its folder lists it, but reading it fails: no such file or directory.",
    status=3,
    recorded="3 paths delivered; 2 tasks succeeded",
)
def test_a_folder_that_never_opens_is_found_after_a_few_runs(
    prepared: tuple[Route, tuple[str, ...]], fault: FaultCheck
) -> None:
    route, options = prepared
    fails = machine.failing("open", "odd", errno.ENOENT)

    *first, last = runs(route, options, fails)

    assert [result.status for result in first] == [0] * (MOVED_RUNS - 1)
    fault.check(last, route)
    assert route.run("status.py", status=3, says="sub/odd").status == 3
    asked = machine.run(route, "status.py", "--path", str(route.src / "sub"), variables=fails)
    assert (asked.status, "sub/odd: no such file or directory" in asked.stdout) == (3, True)
    assert machine.run(route, "main.py", *options, variables=fails).status == 3
    assert route.run("main.py", *options, "--wait").status == 0
    assert_recovers(route, tasks=3)


@pytest.mark.fault(
    "a file is listed and never can be looked at",
    sees="Skipped ...sub/odd.txt: its folder lists it, but reading it fails: no such file or directory.",
    status=3,
    recorded="3 paths delivered; 2 tasks succeeded",
)
def test_a_file_that_never_can_be_looked_at_is_found_after_a_few_runs(
    prepared: tuple[Route, tuple[str, ...]], fault: FaultCheck
) -> None:
    route, options = prepared

    *first, last = runs(route, options, machine.failing("look", "odd.txt", errno.ENOENT))

    assert [result.status for result in first] == [0] * (MOVED_RUNS - 1)
    fault.check(last, route)
    assert route.run("main.py", *options, "--wait").status == 0
    assert_recovers(route, tasks=3)


@pytest.mark.fault(
    "a file's handle is stale on its server",
    sees="Skipped ...sub/odd.txt: stale file handle.",
    status=3,
    recorded="3 paths delivered; 2 tasks succeeded",
)
def test_a_stale_file_is_reported_at_once(route: Route, fault: FaultCheck) -> None:
    machine.one_delivered_one_to_send(route)
    route.write("sub/odd.txt")

    fault.check(
        machine.run(route, "main.py", "--wait", variables=machine.failing("look", "odd.txt", errno.ESTALE)), route
    )

    assert_recovers(route, tasks=3)


def test_what_is_away_in_single_runs_only_is_never_a_finding(route: Route) -> None:
    route.write("odd.txt")
    fails = machine.failing("look", "odd.txt", errno.ENOENT)

    for _ in range(2):
        for _ in range(MOVED_RUNS - 1):
            assert machine.run(route, "main.py", variables=fails).status == 0
        os.rename(route.src / "odd.txt", route.folder / "away")
        assert route.run_here("main.py").status == 0
        os.rename(route.folder / "away", route.src / "odd.txt")
