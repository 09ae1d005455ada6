"""Two series of the power-cut proof (`python -m prove power` does many), and the disk it imagines."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from suite import Route

from emulator.http.server import Emulator
from prove import native, power
from prove.native import Call
from prove.power.disk import Disk
from prove.power.series import put
from prove.proof import Effort

needs_library = pytest.mark.skipif(bool(native.why_not()), reason=native.why_not())
NAME = "datastore"


def made(call: str, name: str = NAME, number: int = 0, content: bytes = b"") -> Call:
    return Call("after", call, name, number, content)


def possible(disk: Disk) -> set[tuple[tuple[str, bytes], ...]]:
    chance = random.Random(1)
    return {tuple(sorted(disk.after_cut(chance).items())) for _ in range(400)}


@needs_library
def test_no_state_of_the_disk_after_a_power_cut_forgets_what_was_committed(tmp_path: Path) -> None:
    proof = power.prove(Effort(seed=3, is_short=True, folder=tmp_path))

    assert proof.failures == ()
    counted = dict(proof.figures)
    assert int(counted["states of the disk opened and judged"]) >= 40
    assert int(counted["of these killed with the cut"]) >= 10


@needs_library
def test_a_batch_posted_before_the_power_was_cut_is_not_sent_a_second_time(
    route: Route, globus: Emulator, tmp_path: Path
) -> None:
    """The folder must be synced after the journal's removal, or the disk may bring the journal back.

    It then took back the commit before the POST: the next run knew nothing of the batch, and sent it as a new one.
    """
    route.write("a.txt")
    route.environment |= native.environment(
        native.build(tmp_path),
        code_path=route.code_path,
        src=route.src,
        log=tmp_path / "calls",
        point=native.Point("before", "recv POST:/v0.10/transfer", 1),
    )
    route.run("main.py", status=-9)
    route.environment = globus.environment()
    disk = Disk({})
    for call in native.calls(tmp_path / "calls"):
        disk.apply(call)

    states = [dict(state) for state in possible(disk)]
    for files in states:
        put(files, route.code_path)
        route.deliver()

    assert len(route.sent()) == 1
    assert route.tree(route.dst) == route.tree()


def test_what_was_synced_is_there_after_a_cut() -> None:
    disk = Disk({})
    for call in (made("create"), made("pwrite", content=b"abc"), made("sync"), made("sync", ".")):
        disk.apply(call)

    assert possible(disk) == {((NAME, b"abc"),)}


def test_a_file_whose_folder_was_not_synced_may_be_missing_after_a_cut() -> None:
    disk = Disk({})
    for call in (made("create"), made("pwrite", content=b"abc"), made("sync")):
        disk.apply(call)

    assert possible(disk) == {(), ((NAME, b"abc"),)}


def test_a_removed_file_may_be_back_after_a_cut_until_its_folder_is_synced() -> None:
    disk = Disk({NAME: b"abc"})
    disk.apply(made("unlink"))
    assert disk.now() == {}
    assert possible(disk) == {(), ((NAME, b"abc"),)}

    disk.apply(made("sync", "."))

    assert possible(disk) == {()}


def test_unsynced_writes_may_survive_in_any_mixture_of_sectors() -> None:
    old, new = b"o" * 512, b"n" * 512
    disk = Disk({NAME: old * 2})
    disk.apply(made("pwrite", content=new * 2))

    assert possible(disk) == {((NAME, first + second),) for first in (old, new) for second in (old, new)}
    assert disk.now() == {NAME: new * 2}


def test_room_that_was_never_written_may_hold_anything_after_a_cut() -> None:
    disk = Disk({NAME: b""})
    disk.apply(made("pwrite", content=b"x" * 512))

    contents = {content for state in possible(disk) for _, content in state}

    assert {b"", b"x" * 512, bytes(512)} < contents
