"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from autotransfer.common import files
from autotransfer.common.errors import ConfigurationProblem


def test_a_file_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    target = tmp_path / "m.csv"
    target.write_text("old")

    with pytest.raises(RuntimeError), files.replaced(str(target)) as stream:
        stream.write("half")
        raise RuntimeError

    assert (target.read_text(), [each.name for each in tmp_path.iterdir()]) == ("old", ["m.csv"])
    with files.replaced(str(target)) as stream:
        stream.write("whole")
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("whole", 0o600)


def test_neither_a_link_nor_a_pipe_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "link.csv").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "pipe.csv")

    for name in ("link.csv", "pipe.csv"):
        with pytest.raises(ConfigurationProblem, match="no regular file"), files.replaced(str(tmp_path / name)):
            pytest.fail("there is nothing to write into")

    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_the_content_reaches_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "page.html"
    calls: list[str] = []

    def fsync(fd: int) -> None:
        status = os.fstat(fd)
        calls.append("folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes")

    def replace(source: str, to: str) -> None:
        calls.append("rename")
        os.rename(source, to)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    with files.atomic_write(str(target), mode=0o644) as stream:
        stream.write("whole")

    assert calls == ["5 bytes", "rename", "folder"]
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("whole", 0o644)


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    with files.replaced(str(tmp_path / "a")) as stream:
        stream.write("whole")

    assert (tmp_path / "a").read_text() == "whole"
