"""The programs that tests need: one table, the same in .ci/run, and one line at the end about what is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs import NOT_IN_CI, PACKAGES, ROOT, skipped_line

# What is no program of the table: other Pythons, and a command whose own path is measured.
MAY_LOOK_FOR_PROGRAMS = {
    "tests/support/programs.py",
    "tests/scripts/test_weaknesses.py",
    "tests/docs/test_benchmarks.py",
}


def test_ci_installs_the_packages_of_the_table() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^packages=\((.*?)\)", script, re.M | re.S)

    wanted = {
        package for program, packages in PACKAGES.items() if program not in NOT_IN_CI for package in packages.split()
    }
    assert set(listed.split()) == wanted


def test_only_the_table_looks_for_programs() -> None:
    paths = [path for folder in ("tests", "prove") for path in (ROOT / folder).rglob("*.py")]

    found = {str(path.relative_to(ROOT)) for path in paths if "shutil.which(" in path.read_text(encoding="utf-8")}

    assert found - {str(Path(__file__).relative_to(ROOT))} <= MAY_LOOK_FOR_PROGRAMS


def test_the_line_names_each_missing_program_its_tests_and_its_package() -> None:
    reasons = [
        *["Skipped: chromium is not installed"] * 12,
        *["Skipped: setpriv is not installed", "Skipped: unshare is not installed", "globus is not installed"],
        "Skipped: only root can give files away",
    ]

    assert skipped_line(reasons) == (
        "15 tests skipped for want of chromium (12), globus (1), setpriv (1), unshare (1). "
        "To run them: apt-get install chromium util-linux; make test, which installs globus"
    )
    assert skipped_line(["rsync is not installed"]) == (
        "1 test skipped for want of rsync (1). To run them: apt-get install rsync"
    )
    assert skipped_line(reasons[-1:]) == ""


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "in another process"])
def test_the_line_is_the_last_before_pytests_own_summary(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "tests/scripts/test_completion.py"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    *_, line, summary = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout
    assert re.fullmatch(r"\d+ tests? skipped for want of bash \(\d+\)\. To run them: apt-get install bash", line), line
    assert " skipped in " in summary
