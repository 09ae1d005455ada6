"""Names that are two here and one at the destination, or nested too deep: reported as long as it lasts."""

from __future__ import annotations

import os

import pytest
from evidence_kept import recorded_text
from faulty import FaultCheck
from shapes import remove
from small_globus import SmallGlobus
from suite import DST_ID, Route

from emulator.http.server import Emulator

ONE_NAME = "are one name at the destination, which holds only one of them. Rename one here: both are then sent again."
LISTING = f"GET /v0.10/operation/endpoint/{DST_ID}/ls"
BOTH = "2 paths delivered; 1 task succeeded"


def write_twins(route: Route, first: str, second: str) -> None:
    route.write(first, "one")
    route.write(second, "two")


@pytest.mark.fault(
    "two files whose names differ in case, at a destination that folds case",
    sees=f"cam/A.dat and cam/a.dat {ONE_NAME} Until then neither counts as verified.",
    status=3,
    recorded=BOTH,
)
def test_case_twins_are_reported(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.change_collection(DST_ID, folds="case")
    write_twins(route, "cam/A.dat", "cam/a.dat")

    fault.check(route.run("main.py", "--wait", "60", status=None), route)

    assert_ends_when_renamed(route, "cam/a.dat")


@pytest.mark.fault(
    "two files whose names differ in Unicode form, at a destination that takes both for one",
    sees=ONE_NAME,
    status=3,
    recorded=BOTH,
)
def test_twins_in_unicode_form_are_reported(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.change_collection(DST_ID, folds="nfc")
    write_twins(route, "cam/caf\u00e9", "cam/cafe\u0301")

    fault.check(route.run("main.py", "--wait", "60", status=None), route)

    assert_ends_when_renamed(route, "cam/cafe\u0301")


@pytest.mark.fault(
    "two folders whose names differ in case, at a destination that folds case",
    sees=f"Cam and cam {ONE_NAME}",
    status=3,
    recorded=BOTH,
)
def test_twins_among_folders_are_reported(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.change_collection(DST_ID, folds="case")
    write_twins(route, "Cam/a.dat", "cam/b.dat")

    fault.check(route.run("main.py", "--wait", "60", status=None), route)

    route.run("status.py", "--path", str(route.src / "Cam/a.dat"), status=3)
    assert_ends_when_renamed(route, "cam")


@pytest.mark.fault(
    "a name that differs in case from one delivered before, which it replaces there",
    sees="old/A.dat: no, delivered at ..., but this name and another may be one at the destination",
    status=3,
    recorded="2 paths delivered; 2 tasks succeeded",
)
def test_a_twin_takes_back_what_was_said_of_the_first(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.change_collection(DST_ID, folds="case")
    route.write("old/A.dat", "one")
    route.deliver_here()
    path = str(route.src / "old/A.dat")
    route.run("status.py", "--path", path)

    route.write("old/a.dat", "two", mtime_seconds=1_750_000_000)
    route.run_here("main.py", "--wait", "60", status=3)

    fault.check(route.run("status.py", "--path", path, status=None), route)
    assert_ends_when_renamed(route, "old/a.dat")


@pytest.mark.fault(
    "two files whose names differ in case, at a destination that may not be listed",
    sees="cam/: not proved for all of it. ... Not proved: 2 with names of which two may be one at the destination",
    status=3,
    recorded=BOTH,
)
def test_twins_of_which_nothing_can_be_known_are_not_proved(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    refusal = {"code": "EndpointPermissionDenied", "message": "Denied", "request_id": "r"}
    globus.world.add_fault(LISTING, times=None, status=403, json=refusal)
    write_twins(route, "cam/A.dat", "cam/a.dat")
    route.run_here("main.py", "--wait", "60")

    fault.check(route.run("status.py", "--path", str(route.src / "cam"), status=None), route)

    assert route.summary_here()["submitted"] == 0


def assert_ends_when_renamed(route: Route, rel_path: str) -> None:
    """Once one of the two has another name, everything arrives and is proved."""
    __tracebackhide__ = True
    route.summary_here(status=3)  # it lasts
    (route.src / rel_path).rename(route.src / "renamed")
    for _ in range(3):
        route.run_here("main.py", "--wait", "60", status=None)
    assert route.summary_here()["submitted"] == 0
    # The destination keeps the spelling that came first.
    here, there = ({path.read_bytes() for path in top.rglob("*") if path.is_file()} for top in (route.src, route.dst))
    assert here <= there
    route.run("status.py", "--path", str(route.src))


@pytest.mark.fault(
    "folders in each other, 1,003 levels deep",
    sees="/d: it lies more than 1,000 folders deep, where nothing is read.",
    status=3,
    recorded="top verified",
)
def test_folders_that_are_too_deep_are_reported_and_all_else_arrives(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    folder = os.open(there.src, os.O_RDONLY)
    for _ in range(1003):
        os.mkdir("d", dir_fd=folder)
        deeper = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = deeper
    os.close(folder)
    there.write("top")
    try:
        result = there.run("main.py", "--wait", "60", status=None)

        fault.check(result, recorded_text(there))
        assert (there.dst / "top").exists()
        again = there.summary_here(status=3)
        assert (again["folders"], again["errors"], again["new"]) == (1001, 1, 0)
    finally:
        remove(there.src)
