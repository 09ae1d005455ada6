"""Files of ours inside SRC_DIR under another name: through links and mounts they would be sent, the login with them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import machine
import pytest
from faulty import NOTHING, FaultCheck
from small_globus import SmallGlobus
from suite import Route

SEES = "Files that must not be sent lie inside SRC_DIR"
PAGE_AND_METRICS = ("METRICS_FILE", "REPORT_FILE")


@pytest.fixture
def bind(tmp_path: Path) -> Iterator[Callable[[Path, Path], None]]:
    """Mounts one folder of the machine at another one, too."""
    machine.must_mount()
    mounted: list[Path] = []

    def mount(folder: Path, at: Path) -> None:
        folder.mkdir(exist_ok=True, parents=True)
        at.mkdir(exist_ok=True, parents=True)
        subprocess.run(["mount", "--bind", str(folder), str(at)], check=True)
        mounted.append(at)

    yield mount
    for at in reversed(mounted):
        subprocess.run(["umount", str(at)], check=True)


def refused(route: Route, service: SmallGlobus, *said: str) -> None:
    """No run, no dry run and no check goes on; each names these things."""
    route.write("a.txt")
    for words in (["main.py", "-v"], ["main.py", "--dry-run"], ["test_config.py", "--no-login"]):
        result = route.run(*words, status=5, says=SEES)
        for part in said:
            assert part in result.stdout + result.stderr, (part, result)
    assert service.requests == []


@pytest.mark.fault(
    "CODE_PATH is a symlink to a folder inside SRC_DIR",
    sees=f"{SEES}...CODE_PATH ...link lies there, as state, so the login and the datastore would be sent too...This "
    "run sent nothing.",
    status=5,
    recorded=NOTHING,
)
def test_a_code_path_inside_src_dir_by_a_link_is_refused(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    (there.src / "state").mkdir()
    (there.folder / "link").symlink_to(there.src / "state")
    there.code_path = there.folder / "link"
    there.configure(CODE_PATH=str(there.folder / "link"))
    there.write("a.txt")

    fault.check(there.run("main.py", status=None), there)

    refused(there, service, "CODE_PATH")


@pytest.mark.parametrize("name", ["SRC_DIR", "folder above", "two links"])
def test_links_on_the_way_are_followed(there: Route, service: SmallGlobus, name: str) -> None:
    state = there.src / "deep/state"
    state.mkdir(parents=True)
    alias = there.folder / "alias"
    if name == "SRC_DIR":
        alias.symlink_to(there.src)
        there.configure(SRC_DIR=str(alias), CODE_PATH=str(state))
    elif name == "folder above":
        alias.symlink_to(there.src / "deep")
        there.configure(CODE_PATH=str(alias / "state"))
    else:
        alias.symlink_to(there.src / "first")
        (there.src / "first").symlink_to(there.code_path)
        there.configure(CODE_PATH=str(alias))

    refused(there, service, "CODE_PATH", "as first" if name == "two links" else "as deep/state")


@pytest.mark.parametrize("way", ["all of it", "a folder of it", "mounted in it"])
def test_mounts_are_seen_through(
    there: Route, service: SmallGlobus, bind: Callable[[Path, Path], None], way: str
) -> None:
    elsewhere = there.folder / "a place"  # the system writes the blank as \\040
    if way == "mounted in it":
        bind(there.code_path.parent / "state", there.src / "deep/in it")
        refused(there, service, "as deep/in it")
        return
    (there.src / "deep/state").mkdir(parents=True)
    bind(there.src / "deep" if way == "a folder of it" else there.src, elsewhere)
    there.configure(CODE_PATH=str(elsewhere / ("state" if way == "a folder of it" else "deep/state")))

    refused(there, service, "as deep/state")


def test_what_another_mount_hides_is_no_part_of_src_dir(there: Route, bind: Callable[[Path, Path], None]) -> None:
    (there.src / "deep/state").mkdir(parents=True)
    bind(there.src / "deep", there.folder / "elsewhere")
    bind(there.folder / "empty", there.src / "deep")
    there.configure(CODE_PATH=str(there.folder / "elsewhere/state"))

    there.run("main.py")


@pytest.mark.fault(
    "CLIENT_SECRET_FILE and the configuration lie inside SRC_DIR",
    sees=f"{SEES}...CLIENT_SECRET_FILE ... lies there, as conf/secret, so the secret would be sent too...The "
    "configuration ... lies there, as conf/route.py",
    status=5,
    recorded=NOTHING,
)
def test_a_secret_or_a_configuration_inside_src_dir_is_refused(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    (there.src / "conf").mkdir()
    (there.folder / "conf").symlink_to(there.src / "conf")
    Path(there.settings["CLIENT_SECRET_FILE"]).rename(there.src / "conf/secret")
    there.config = there.folder / "conf/route.py"
    there.configure(CLIENT_SECRET_FILE=str(there.folder / "conf/secret"))
    there.write("a.txt")

    fault.check(there.run("main.py", status=None), there)

    refused(there, service, "CLIENT_SECRET_FILE", "The configuration")


@pytest.mark.parametrize("name", PAGE_AND_METRICS)
@pytest.mark.parametrize("is_there", [True, False])
def test_what_a_run_writes_into_src_dir_by_a_link_is_refused(
    there: Route, service: SmallGlobus, name: str, is_there: bool
) -> None:
    (there.src / "www").mkdir()
    (there.folder / "www").symlink_to(there.src / "www")
    path = there.folder / ("www/page.html" if name == "REPORT_FILE" else "www/transfer.prom")
    if is_there:
        path.touch()
    there.configure(**{name: str(path)})

    refused(there, service, name, f"as www/{path.name}")


def test_a_link_to_the_configuration_leads_to_the_file_that_would_be_sent(there: Route, service: SmallGlobus) -> None:
    kept = there.config.rename(there.src / "kept.py")
    there.config.symlink_to(os.path.relpath(kept, there.folder))

    refused(there, service, "The configuration", "as kept.py")


def test_files_beside_src_dir_are_no_trouble(there: Route) -> None:
    (there.folder / "srcs").mkdir()
    (there.src / "link to the state").symlink_to(there.code_path)
    there.configure(METRICS_FILE=str(there.folder / "srcs/transfer.prom"))
    there.write("a.txt")

    assert there.deliver()["delivered"] == 1
