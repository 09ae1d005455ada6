"""The check that no test changes the checkout (tests/support/checkout_kept.py) finds what it is for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import checkout_kept
import pytest


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout, with a file that its owner has just changed."""
    (tmp_path / "autotransfer").mkdir()
    (tmp_path / ".gitignore").write_text("__pycache__/\n/datastore*\n.pytest_cache/\n")
    (tmp_path / "a.py").write_text("")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (tmp_path / "a.py").write_text("x = 1\n")
    return tmp_path


@pytest.mark.parametrize("name", ["new.txt", "datastore", "a.py", "autotransfer/new.py"])
def test_a_file_that_was_made_or_changed_is_found(checkout: Path, name: str) -> None:
    before = checkout_kept.state(checkout)

    (checkout / name).write_text("anything")

    assert [line.split()[0] for line in checkout_kept.faults(before, checkout)] in ([name], [f"{Path(name).parent}/"])


def test_a_file_that_was_removed_is_found(checkout: Path) -> None:
    before = checkout_kept.state(checkout)

    (checkout / "a.py").unlink()

    assert len(list(checkout_kept.faults(before, checkout))) == 1


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_compiled_file_is_found_only_where_it_is_damaged(checkout: Path, is_cut: bool) -> None:
    import py_compile

    before = checkout_kept.state(checkout)
    path = py_compile.compile(str(checkout / "a.py"))
    (checkout / ".pytest_cache").mkdir()
    assert path is not None
    if is_cut:
        os.truncate(path, os.path.getsize(path) - 1)

    assert len(list(checkout_kept.faults(before, checkout))) == is_cut
