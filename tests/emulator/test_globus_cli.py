"""The real `globus` command line, unchanged, works against the emulator.

Its own environment is needed (it pins another SDK): GLOBUS_CLI names the program, or `.venv-cli/bin/globus` is there.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import CommandLine

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
MAPPED = "5a0c9d5e-0000-4000-8000-000000000003"


@pytest.fixture
def source(globus_cli: CommandLine) -> Path:
    """The folder behind the source collection."""
    return globus_cli.folder / "source"


@pytest.fixture
def destination(globus_cli: CommandLine) -> Path:
    """The folder behind the destination collection."""
    return globus_cli.folder / "destination"


def test_it_knows_who_is_signed_in(globus_cli: CommandLine) -> None:
    assert globus_cli("whoami").strip() == "researcher@example.org"
    assert "researcher@example.org" in globus_cli("session", "show")
    assert "already logged in" in globus_cli("login")


def test_it_shows_and_finds_collections(globus_cli: CommandLine) -> None:
    shown = globus_cli("endpoint", "show", SOURCE)
    redirected = globus_cli("endpoint", "show", MAPPED, status=3)
    found = globus_cli("endpoint", "search", "Archive")

    assert re.search(r"GCP Connected:\s+True", shown)
    assert "Globus Connect Server v5 Mapped Collection" in redirected
    assert DESTINATION in found
    assert SOURCE not in found


def test_it_lists_makes_and_renames(globus_cli: CommandLine, source: Path, destination: Path) -> None:
    (source / "listed").mkdir()
    (source / "listed/f.txt").write_text("four")

    assert globus_cli("ls", f"{SOURCE}:/listed").split() == ["f.txt"]
    assert globus_cli("ls", "-l", "--recursive", f"{SOURCE}:/").count("listed") >= 2
    assert globus_cli.json("stat", f"{SOURCE}:/listed/f.txt")["size"] == 4
    assert "created successfully" in globus_cli("mkdir", f"{DESTINATION}:/made")
    assert "renamed successfully" in globus_cli("rename", DESTINATION, "/made", "/renamed")
    assert (destination / "renamed").is_dir()
    assert "Exists" in globus_cli("mkdir", f"{DESTINATION}:/renamed", status=1)
    assert "not found" in globus_cli("ls", f"{SOURCE}:/none", status=1)


def test_it_transfers_a_file_and_shows_the_task(globus_cli: CommandLine, source: Path, destination: Path) -> None:
    (source / "one.txt").write_text("one")
    arguments = ["transfer", f"{SOURCE}:/one.txt", f"{DESTINATION}:/deep/one.txt", "--preserve-timestamp"]

    task_id = globus_cli.json(*arguments, "--label", "One file")["task_id"]

    globus_cli("task", "wait", task_id, "--polling-interval", "1")
    shown = globus_cli("task", "show", task_id)
    assert (destination / "deep/one.txt").read_text() == "one"
    assert re.search(r"Status:\s+SUCCEEDED", shown)
    assert "/one.txt" in globus_cli("task", "show", "--successful-transfers", task_id)
    assert "SUCCEEDED" in globus_cli("task", "event-list", task_id)
    assert "One file" in globus_cli("task", "list", "--filter-label", "One*")


def test_it_transfers_a_tree_with_sync_levels_and_exclusions(
    globus_cli: CommandLine, source: Path, destination: Path
) -> None:
    (source / "tree/sub").mkdir(parents=True)
    for name in ("a.dat", "b.tmp", "sub/c.dat"):
        (source / "tree" / name).write_text(name)
    arguments = ["transfer", "--recursive", f"{SOURCE}:/tree/", f"{DESTINATION}:/tree/", "--exclude", "*.tmp"]

    globus_cli(*arguments)
    assert sorted(path.name for path in (destination / "tree").rglob("*")) == ["a.dat", "c.dat", "sub"]
    for level in ("exists", "size", "mtime", "checksum"):
        task_id = globus_cli.json(*arguments, "--sync-level", level)["task_id"]
        task = globus_cli.globus.world.tasks[task_id]
        assert (task.files_skipped, task.files_transferred) == (2, 0)
    (source / "tree/a.dat").write_text("A.dat")
    task_id = globus_cli.json(*arguments, "--sync-level", "checksum", "--delete")["task_id"]
    assert globus_cli.globus.world.tasks[task_id].files_transferred == 1


def test_it_transfers_a_batch_and_skips_errors(globus_cli: CommandLine, source: Path, destination: Path) -> None:
    (source / "x y").write_text("space")
    batch = '"/x y" "/batch/x y"\n/none /batch/none\n'
    arguments = ["transfer", SOURCE, DESTINATION, "--batch", "-", "--skip-source-errors", "-F", "json"]

    task_id = json.loads(globus_cli(*arguments, text=batch))["task_id"]

    assert os.listdir(destination / "batch") == ["x y"]
    assert "FILE_NOT_FOUND" in globus_cli("task", "show", "--skipped-errors", task_id)


def test_it_updates_and_cancels_an_open_task(globus_cli: CommandLine, source: Path) -> None:
    globus_cli.globus.world.set_progress("polls:50")
    try:
        task_id = globus_cli.json("transfer", f"{SOURCE}:/slow", f"{DESTINATION}:/slow")["task_id"]
        again = globus_cli("transfer", f"{SOURCE}:/slow", f"{DESTINATION}:/slow", status=1)
        globus_cli("task", "wait", task_id, "--timeout", "1", "--polling-interval", "1", status=1)
        globus_cli("task", "update", task_id, "--label", "Changed", "--deadline", "2099-01-01")
        paused = globus_cli("task", "pause-info", task_id)
        canceled = globus_cli("task", "cancel", task_id)
    finally:
        globus_cli.globus.world.set_progress("immediate")

    task = globus_cli.globus.world.tasks[task_id]
    assert "identical paths has not yet completed" in again
    assert (task.label, task.deadline.year, task.status) == ("Changed", 2099, "FAILED")
    assert "cancelled successfully" in canceled
    assert paused is not None


def test_it_deletes(globus_cli: CommandLine, destination: Path) -> None:
    (destination / "old/deep").mkdir(parents=True)

    globus_cli("delete", "--recursive", f"{DESTINATION}:/old")

    assert not (destination / "old").exists()


def test_it_asks_for_a_consent_and_uses_it(globus_cli: CommandLine) -> None:
    refused = globus_cli("ls", f"{MAPPED}:/", status=4)
    consent = re.search(r"globus session consent '?([^'\n]+)'?", refused)
    assert consent, refused

    globus_cli.login("session", "consent", "--no-local-server", consent.group(1).strip())

    globus_cli("ls", f"{MAPPED}:/")


def test_it_signs_out_last(globus_cli: CommandLine) -> None:
    globus_cli("logout", "--yes")

    assert "login" in globus_cli("whoami", status=4)
