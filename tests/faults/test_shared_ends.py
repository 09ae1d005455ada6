"""Two ends that are one folder, or one inside the other, under whatever paths and collections show them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import machine
import pytest
from faulty import FaultCheck
from small_globus import SmallGlobus, refusal
from suite import LONG_AGO, Route

from autotransfer.common.paths import TEST_PREFIX

DELIVERED = "1 path delivered; 1 task succeeded"
SEES = "The new files in ...src/shared/out are copies that this route has made: DST_DIR ... Nothing was sent or"


def shows(route: Route, service: SmallGlobus, folder: Path) -> None:
    """Let the destination collection show this folder of the machine as DST_DIR."""
    route.configure(DST_DIR="/arc")
    service.stored = lambda path: str(folder) + path[4:] if f"{path}/".startswith("/arc/") else path


def made_folders(service: SmallGlobus) -> int:
    return sum(request.endswith("/mkdir") for request in service.requests)


@pytest.fixture
def inside(there: Route, service: SmallGlobus) -> Route:
    """A route whose destination is a folder inside SRC_DIR, under another name, after its first delivery."""
    (there.src / "shared").mkdir()
    shows(there, service, there.src / "shared/out")
    there.write("scan1/frame.tif")
    there.configure(EXCLUDE=["shared"])
    there.deliver_here()
    there.configure(EXCLUDE=[])
    return there


@pytest.mark.fault("DST_DIR lies inside SRC_DIR: the new files are copies", sees=SEES, status=5, recorded=DELIVERED)
@pytest.mark.parametrize("way", ["full", "quick", "paths", "without times", "times not kept"])
def test_a_run_whose_new_files_are_its_own_copies_stops(
    inside: Route, service: SmallGlobus, fault: FaultCheck, way: str
) -> None:
    options = []
    copy = inside.src / "shared/out/scan1/frame.tif"
    assert copy.exists()
    if way == "quick":
        inside.configure(SCAN="quick")
    if way == "paths":
        names = inside.folder / "names"
        names.write_text("shared/out/scan1/frame.tif\n")
        options = ["--paths-from", str(names)]
    if way == "times not kept":
        os.utime(copy)
    if way == "without times":
        os.utime(copy, (1_600_000_000,) * 2)
        inside.configure(PRESERVE_TIMESTAMP=False)

    fault.check(inside.run("main.py", *options, status=None), inside)

    assert len(service.tasks) == 1
    assert [path.name for path in inside.src.rglob(f"{TEST_PREFIX}*")] == []
    inside.configure(EXCLUDE=["shared"])  # the way out
    assert inside.summary_here("--wait", *options)["status"] == 0


def test_a_destination_that_is_too_large_to_be_listed_hides_no_copies(inside: Route, service: SmallGlobus) -> None:
    """Status and code: observed in public reports."""
    refused = refusal(502, "ExternalError.DirListingFailed.SizeLimit", "Directory limit of 100000 reached.")
    service.answer = lambda method, path, query, body: (
        refused if path.endswith("/ls") and query["path"] == "/arc/" else None
    )

    inside.run_here("main.py", status=5, says="are copies that this route has made")

    assert len(service.tasks) == 1


def test_the_emulator_shows_the_same(route: Route) -> None:
    route.configure(DST_DIR=str(route.src / "shared/out"), EXCLUDE=["shared"])
    route.write("scan1/frame.tif")
    route.deliver_here()
    route.configure(EXCLUDE=[])

    route.run("main.py", status=5, says="src/shared/out are copies that this route has made")
    assert route.run("main.py", status=5).stderr == ""  # it was reported
    assert len(route.sent()) == 1
    assert list(route.src.rglob(f"{TEST_PREFIX}*")) == []


BEGUN_INSIDE = (
    "DST_DIR ... lies inside SRC_DIR, as {}: what Globus makes in ... appears in ... Nothing was sent or recorded."
)


@pytest.mark.parametrize(
    ("below", "contents", "as_"),
    [
        pytest.param(
            below,
            contents,
            as_,
            id=name,
            marks=pytest.mark.fault(
                f"DST_DIR lies inside SRC_DIR on the first run, {name}",
                sees=BEGUN_INSIDE.format(as_),
                status=5,
                recorded="nothing",
            ),
        )
        for name, below, contents, as_ in (
            ("and is empty", "", (), "shared/out"),
            ("and holds files", "", ("a.txt", "deep/b.txt"), "shared/out"),
            ("and is still to be made", "/new/deeper", ("a.txt",), "shared/out/new/deeper"),
        )
    ],
)
def test_a_first_run_whose_folder_would_be_copied_into_itself_stops(
    there: Route, service: SmallGlobus, fault: FaultCheck, below: str, contents: tuple[str, ...], as_: str
) -> None:
    (there.src / "shared/out").mkdir(parents=True)
    for rel_path in contents:
        there.write(f"shared/out/{rel_path}")
    there.write("scan1/frame.tif")
    shows(there, service, there.src / "shared/out")
    there.configure(DST_DIR=f"/arc{below}")
    os.utime(there.src / "shared/out", (LONG_AGO, LONG_AGO))

    fault.check(there.run("main.py", status=None), there)

    assert len(service.tasks) == 0
    assert list(there.src.rglob(f"{TEST_PREFIX}*")) == []
    there.configure(EXCLUDE=["shared"])  # the way out
    assert there.deliver_here()["delivered"] == 1


def test_a_first_run_to_a_destination_that_looks_like_no_folder_of_the_source_makes_nothing_there(
    there: Route, service: SmallGlobus
) -> None:
    (there.dst / "earlier").mkdir(parents=True)
    there.write("scan1/frame.tif")

    there.deliver_here()

    assert made_folders(service) == 0
    assert sum(request.endswith("/ls") for request in service.requests) <= 2


def test_a_first_run_beside_an_empty_folder_goes_on_once_the_destination_is_known_to_be_another(
    there: Route, service: SmallGlobus
) -> None:
    there.dst.mkdir()
    (there.src / "empty").mkdir()
    os.utime(there.src / "empty", (LONG_AGO, LONG_AGO))
    there.write("scan1/frame.tif")

    assert there.deliver_here()["delivered"] == 2
    assert made_folders(service) == 1
    assert there.tree(there.dst) == there.tree()


def test_a_destination_that_cannot_be_listed_holds_up_no_first_run(there: Route, service: SmallGlobus) -> None:
    refusal = {"code": "PermissionDenied", "message": "No listing", "request_id": "small"}
    service.answer = lambda method, path, query, body: (403, refusal) if path.endswith("/ls") else None
    there.write("scan1/frame.tif")

    assert there.deliver_here()["delivered"] == 1


def test_a_first_run_waits_while_the_destination_cannot_be_listed_for_now(there: Route, service: SmallGlobus) -> None:
    refusal = {"code": "ServiceUnavailable", "message": "Not now", "request_id": "small"}
    service.answer = lambda method, path, query, body: (503, refusal) if path.endswith("/ls") else None
    there.write("scan1/frame.tif")

    there.run_here("main.py", status=6, says="Not now")
    assert not service.tasks
    service.answer = lambda *request: None
    assert there.deliver_here()["delivered"] == 1


def test_copies_that_appear_while_their_task_is_open_stop_the_next_run(there: Route, service: SmallGlobus) -> None:
    (there.src / "out").mkdir()
    shows(there, service, there.src / "out")
    there.configure(EXCLUDE=["out"])
    there.write("scan1/1.tif")
    there.write("top.txt")
    service.is_held = True
    assert there.summary_here()["submitted"] == 1
    there.configure(EXCLUDE=[])
    shutil.copytree(there.src / "scan1", there.src / "out/scan1")

    there.run("main.py", status=5, says="src/out are copies that this route has made")
    assert len(service.tasks) == 1


def test_copies_of_empty_folders_stop_a_run(there: Route, service: SmallGlobus) -> None:
    (there.src / "out").mkdir()
    shows(there, service, there.src / "out")
    there.configure(EXCLUDE=["out"])
    (there.src / "scan1").mkdir()
    there.deliver_here()
    there.configure(EXCLUDE=[])

    there.run("main.py", status=5, says="src/out are copies that this route has made")


def test_an_owner_who_keeps_copies_inside_src_dir_is_asked_about_once(there: Route, service: SmallGlobus) -> None:
    for number in range(3):
        there.write(f"scan{number}/frame.tif")
    there.deliver_here()
    for number in range(3):
        shutil.copytree(there.src / f"scan{number}", there.src / f"backup/today/scan{number}")
        assert there.deliver_here()["delivered"] == 1

    assert made_folders(service) == 1
    assert there.tree(there.dst) == there.tree()


def test_files_of_one_name_and_size_are_no_copies(there: Route, service: SmallGlobus) -> None:
    there.write("settings.txt")
    there.write("a/1.txt")
    there.deliver_here()
    for name in ("settings.txt", "2.txt", "3.txt"):
        there.write(f"run/{name}")
    there.write("run/a/1.txt", "content", mtime_seconds=LONG_AGO + 60)

    assert there.deliver_here()["delivered"] == 4
    assert made_folders(service) == 0


# ---- test_config.py ------------------------------------------------------------------------------------------------


def refused(route: Route, dst: str, says: str) -> None:
    route.configure(DST_DIR=dst)
    result = route.run("test_config.py", "--no-login", status=5, says=says)
    assert "FAIL  DST_DIR" in result.stdout
    assert list(route.folder.rglob(f"{TEST_PREFIX}*")) == []


def test_one_folder_under_two_paths_is_refused(route: Route) -> None:
    (route.folder / "link").symlink_to(route.src)

    refused(route, str(route.src), "is SRC_DIR itself")
    refused(route, str(route.folder / "link"), "is SRC_DIR itself")
    route.configure(SRC_DIR=str(route.folder / "link"))
    refused(route, str(route.src), "is SRC_DIR itself")


def test_a_destination_inside_src_dir_is_refused(route: Route) -> None:
    (route.src / "a/b/deep").mkdir(parents=True)
    (route.folder / "link").symlink_to(route.src / "a/b")

    refused(route, str(route.src / "a"), "lies inside SRC_DIR, as a,")
    refused(route, str(route.src / "a/b/new/new"), "lies inside SRC_DIR, as a/b/new/new,")
    refused(route, str(route.folder / "link/deep"), "lies inside SRC_DIR, as a/b/deep,")
    route.configure(EXCLUDE=["b"])
    route.run("test_config.py", "--no-login")


def test_a_destination_around_src_dir_is_refused(route: Route) -> None:
    refused(route, str(route.folder), "holds SRC_DIR")


@pytest.mark.parametrize("name", ["dst", "src2", "new/dst", "src.copies"])
def test_a_folder_beside_src_dir_is_right(route: Route, name: str) -> None:
    route.configure(DST_DIR=str(route.folder / name))
    result = route.run("test_config.py", "--no-login", says="can be created")
    assert "searched" not in result.stdout


def test_a_destination_that_is_mounted_inside_src_dir_is_refused(route: Route) -> None:
    machine.must_mount()
    place = route.src / "x/y/z"
    place.mkdir(parents=True)
    archive = route.folder / "archive"
    archive.mkdir()
    subprocess.run(["mount", "--bind", str(archive), str(place)], check=True)
    try:
        route.configure(DST_DIR=str(archive))
        route.run("test_config.py", "--no-login", status=5, says="lies inside SRC_DIR, as x/y/z")
    finally:
        subprocess.run(["umount", str(place)], check=True)


# ---- names of test folders -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scan", ["full", "quick"])
def test_names_of_test_folders_are_never_sent_nor_counted(route: Route, scan: str) -> None:
    route.configure(SCAN=scan)
    for name in ("new/a.txt", f"new/{TEST_PREFIX}1/b.txt", f"{TEST_PREFIX}2/c.txt", f"{TEST_PREFIX}3"):
        route.write(name)

    assert route.deliver_here()["delivered"] == 1
    route.write(f"new/{TEST_PREFIX}4/d.txt")
    again = route.summary_here()

    assert (again["files"], again["submitted"]) == (1, 0)
    assert route.tree(route.dst) == {"new": None, "new/a.txt": b"content"}
    assert route.run("status.py", "--path", str(route.src)).status == 0
    route.run("status.py", "--path", str(route.src / f"{TEST_PREFIX}3"), status=3, says="a name of test folders")
