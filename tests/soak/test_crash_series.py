"""Two series of the crash proof (`python -m prove crashes` does many), and that its tools do what they say."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from programs import needs
from suite import Route

from autotransfer.datastore.store import Store
from autotransfer.datastore.tasks import Item
from emulator.http.server import Emulator
from prove import crashes, native
from prove.crashes.tree import Tree
from prove.crashes.watch import Watch
from prove.proof import Effort

pytestmark = pytest.mark.skipif(bool(native.why_not()), reason=native.why_not())
# Calls of the C library, and what the system calls them.
TRACED = "openat,pwrite64,fdatasync,fsync,ftruncate,unlink,flock,connect,sendto"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return native.build(tmp_path_factory.mktemp("library"))


def interposed(route: Route, library: Path, log: Path, point: native.Point | None = None) -> None:
    """Let the route's scripts load the library."""
    assert route.globus is not None
    route.environment = {
        **route.globus.environment(),
        **native.environment(library, code_path=route.code_path, src=route.src, log=log, point=point),
    }


def test_scripts_killed_forty_times_lose_nothing_and_send_nothing_twice(tmp_path: Path) -> None:
    proof = crashes.prove(Effort(seed=4, is_short=True, folder=tmp_path))

    assert proof.failures == ()
    counted = dict(proof.figures)
    killed = int(counted["killed at a random moment"]), int(counted["killed at a chosen system call"])
    assert sum(killed) >= 40
    assert min(killed) >= 5


@pytest.mark.parametrize("when", native.WHEN)
def test_a_script_dies_at_the_call_it_is_given(
    route: Route, globus: Emulator, library: Path, tmp_path: Path, when: str
) -> None:
    route.write("a.txt")
    interposed(route, library, tmp_path / "calls", native.Point(when, "send POST:/v0.10/transfer:body", 1))

    route.run("main.py", status=-9)

    last = list(native.calls(tmp_path / "calls"))[-1]
    assert (last.when, last.kind) == ("before" if when == "before" else "after", "send POST:/v0.10/transfer:body")
    assert (route.code_path / "datastore").exists()
    assert (route.code_path / "log").read_text() == ""


def test_a_point_that_is_never_reached_kills_nothing(route: Route, library: Path, tmp_path: Path) -> None:
    interposed(route, library, tmp_path / "calls", native.Point("before", "send POST:/v0.10/transfer", 1))

    route.run("main.py", status=0)

    assert "sync datastore" in native.points(list(native.calls(tmp_path / "calls")))


@needs("strace")
def test_the_library_notes_every_call_that_the_kernel_sees(route: Route, library: Path, tmp_path: Path) -> None:
    route.write("a.txt")
    interposed(route, library, tmp_path / "calls")
    trace = tmp_path / "trace"
    environment = route.bare_environment()
    preload = f"LD_PRELOAD={environment.pop('LD_PRELOAD')}"  # for the script, not for strace
    command = ["strace", "-f", "-y", "-E", preload, "-o", str(trace), "-e", f"trace={TRACED}"]

    traced = subprocess.run([*command, *route.command("main.py")], env=environment, capture_output=True, text=True)
    if "ptrace" in traced.stderr:
        pytest.skip(f"strace may not trace here: {traced.stderr}")

    seen: Counter[str] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        call = line.split(None, 1)[1].partition("(")[0]
        is_ours = f"{route.code_path}" in line and "= -1" not in line and str(tmp_path / "calls") not in line
        if is_ours or call in ("connect", "sendto"):
            seen[call] += 1
    noted: Counter[str] = Counter()
    for made in native.calls(tmp_path / "calls"):
        noted[made.call] += made.name != "tree"
    assert seen["pwrite64"] == noted["pwrite"] > 20
    assert seen["fdatasync"] + seen["fsync"] == noted["sync"] > 8
    assert seen["unlink"] == noted["unlink"] > 2
    assert seen["openat"] == noted["open"] + noted["create"] > 8
    assert seen["flock"] == noted["flock"] == 1
    assert seen["connect"] == noted["connect"] > 3
    assert seen["sendto"] == noted["send"] > 5


def test_the_watch_tells_what_is_sent_twice_for_no_reason(route: Route, globus: Emulator) -> None:
    """A datastore put back to a former state sends again what had arrived: the proof would see it."""
    tree = Tree(random.Random(1), route.src)
    watch = Watch(globus._server.app, globus.world, tree)
    globus._server.app = watch
    route.run("main.py", "--dry-run")
    route.deliver()
    assert watch.failures == []
    route.begin_anew()

    route.deliver()

    assert ["keep.dat was sent twice for no reason" in failure for failure in watch.failures] == [True]


def test_the_watch_tells_a_submission_id_with_two_bodies(
    route: Route, globus: Emulator, library: Path, tmp_path: Path
) -> None:
    tree = Tree(random.Random(1), route.src)
    watch = Watch(globus._server.app, globus.world, tree)
    globus._server.app = watch
    interposed(route, library, tmp_path / "calls", native.Point("before", "recv POST:/v0.10/transfer", 1))
    route.run("main.py", status=-9)
    with Store(str(route.code_path / "datastore")) as store:
        (number,) = store.ledger.open
        store.put_items(number, [Item("", "another.dat", 1, 3)])
        store.commit()
    route.environment = globus.environment()

    route.run("main.py", status=None)

    assert any("came with two bodies" in failure for failure in watch.failures)
