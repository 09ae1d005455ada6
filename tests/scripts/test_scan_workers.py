"""Scans that take a process of their own, or as many folders as only a slow test makes."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path

import machine
import pytest
from recorded import recorded
from suite import ROOT
from waiting import until

from autotransfer.scan.folders import PathReader, open_root, walk
from autotransfer.scan.listing import Listing, Policy, Unchanged
from autotransfer.scan.worker import FolderRow, WorkerSetup, read_batch


def test_the_scan_imports_no_globus_sdk() -> None:
    code = "import autotransfer.scan.folders, sys; raise SystemExit('globus_sdk' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def walked(top: Path) -> list[Listing]:
    """What a walk lists."""
    root_fd = open_root(str(top))
    try:
        return list(walk(root_fd, Policy()))
    finally:
        os.close(root_fd)


def deep_tree(top: Path, levels: int, name: str) -> str:
    """A chain of folders that no single path can name, with a file at its end."""
    folder_fd = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=folder_fd)
        deeper_fd = os.open(name, os.O_RDONLY, dir_fd=folder_fd)
        os.close(folder_fd)
        folder_fd = deeper_fd
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=folder_fd))
    os.close(folder_fd)
    return "/".join([name] * levels)


def remove_deep(top: Path) -> None:
    """Python's own rmtree gives up where the path is too long."""
    subprocess.run(["rm", "-rf", str(top)], check=True)


@pytest.mark.parametrize(("levels", "name"), [(1000, "deeper"), (60, "n" * 255)])
def test_a_path_may_be_longer_than_the_system_allows_in_one_call(tmp_path: Path, levels: int, name: str) -> None:
    top = tmp_path / "top"
    top.mkdir()
    deepest = deep_tree(top, levels, name)
    root_fd = open_root(str(top))
    try:
        with pytest.raises(OSError) as problem:
            os.stat(deepest, dir_fd=root_fd)
        found = {listing.rel_path: listing for listing in walk(root_fd, Policy())}
        look = PathReader(root_fd, follow_links=False)
        seen = look(deepest, "file")
        look.close()
    finally:
        os.close(root_fd)
        remove_deep(top)

    assert problem.value.errno == errno.ENAMETOOLONG
    assert len(found) == levels + 1
    assert seen is not None
    assert found[deepest].files == {"file": seen[0]}


def test_a_worker_that_never_collects_cycles_keeps_nothing_of_its_batches(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").touch()
    rows: list[FolderRow] = [
        (listing.rel_path, pickle.dumps(tuple(recorded(listing)), 4)) for listing in walked(tmp_path) if listing.files
    ]
    setup = WorkerSetup(str(tmp_path), tmp_path.stat().st_ino, Policy(), 1)
    before = []

    gc.disable()
    try:
        for _ in range(100):
            assert [type(result) for result in read_batch(setup, rows, is_alone=True)] == [Unchanged]
            before.append(len(gc.get_objects()))
    finally:
        gc.enable()

    assert before[-1] - before[10] < 50


def test_a_worker_whose_look_hangs_ends_with_its_run(tmp_path: Path) -> None:
    (tmp_path / "src/sub").mkdir(parents=True)
    (tmp_path / "src/sub/stuck").touch()
    program = """
import os, pickle, sys, time
sys.path.insert(0, sys.argv[1])
from multiprocessing import active_children
from autotransfer.scan import pool
from autotransfer.scan.listing import Policy
from autotransfer.datastore.record import Delivered, Folder

folder = Folder()
folder.delivered["stuck"] = Delivered(1, 1, 1, 1)
setup = pool.WorkerSetup(sys.argv[2], os.stat(sys.argv[2]).st_ino, Policy(), 1)
workers = pool.of_processes(setup, 1)
workers.submit([("sub", pickle.dumps(tuple(folder.pack()), 4))])
print(*[child.pid for child in active_children()], flush=True)
time.sleep(60)
"""
    held = {"LD_PRELOAD": str(machine.library()), "PAUSE_CALL": "look", "PAUSE_NAME": "stuck"}
    words = [sys.executable, "-c", program, str(ROOT), str(tmp_path / "src")]
    environment = {**os.environ, **held, "PAUSE_FOLDER": str(tmp_path)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        (worker,) = map(int, run.stdout.readline().split())
        until((tmp_path / "reached").exists)
        run.kill()

        until(lambda: not is_running(worker))  # long before the look, which hangs for 600 s, comes to its end


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
