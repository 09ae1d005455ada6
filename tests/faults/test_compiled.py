"""Compiled files (.pyc) that a limit or a full disk has cut off: the next run is as every run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import machine
import pytest
from faulty import FaultCheck, assert_recovers
from suite import ROOT, Result, Route, copied_checkout

KB = 1024
HEADER_BYTES = 16  # what Python checks of a compiled file before it reads the code
BLOCK_BYTES = 4096  # what a file system gives a file at a time: nothing smaller is cut off by a full disk
ON_ITS_WAY = "2 paths delivered, 1 path under way; 1 task succeeded"
# Its own compiled file cannot be replaced by what it does. It is smaller than a block.
FIRST = Path("autotransfer/__init__.py")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of which nothing is compiled yet."""
    checkout = copied_checkout(tmp_path / "checkout")
    for name in ("status.py", "timer.py"):
        shutil.copy(ROOT / name, checkout)
    return checkout


@pytest.fixture
def ready(route: Route) -> Route:
    """A route with something delivered and something to send."""
    return machine.one_delivered_one_to_send(route)


def run(route: Route, checkout: Path, script: str) -> Result:
    """Run a script of that checkout as cron would."""
    words = [sys.executable, str(checkout / script), "--config", str(route.config)]
    process = subprocess.run(
        words, cwd="/", env=route.bare_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return Result(process.returncode, process.stdout, process.stderr)


def compiled(checkout: Path) -> dict[Path, int]:
    """The sizes of all compiled files."""
    return {path: path.stat().st_size for path in checkout.rglob("*.pyc")}


def is_first(path: Path) -> bool:
    return path.parent.parent == FIRST.parent and path.name.startswith(f"{FIRST.stem}.")


@pytest.mark.fault(
    "a limit on the size of files (ulimit -f), and nothing is compiled yet", sees="", status=0, recorded=ON_ITS_WAY
)
@pytest.mark.parametrize("most_bytes", [1000, 16 * KB])
def test_a_limit_on_file_size_leaves_no_compiled_file_that_breaks_the_next_run(
    ready: Route, checkout: Path, fault: FaultCheck, most_bytes: int
) -> None:
    with machine.file_size_limit(most_bytes):
        limited = [run(ready, checkout, script) for script in ("main.py", "status.py", "set_time.py", "timer.py")]
    left = compiled(checkout)

    result = run(ready, checkout, "main.py")

    assert all("Traceback" not in each.stderr and "bug" not in each.stderr for each in limited), limited
    assert left == {}
    fault.check(result, ready)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "the disk of the checkout is full, and nothing is compiled yet", sees="", status=0, recorded=ON_ITS_WAY
)
def test_a_full_disk_leaves_no_compiled_file_that_breaks_a_run(ready: Route, checkout: Path, fault: FaultCheck) -> None:
    with machine.disk(checkout, 4 << 20):
        filler = machine.fill(checkout, left_bytes=7 * BLOCK_BYTES)
        full = run(ready, checkout, "status.py")
        filler.unlink()

        result = run(ready, checkout, "main.py")

    assert (full.status, full.stderr) == (0, "")
    fault.check(result, ready)
    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "compiled files were cut off, or hold nothing but zeros",
    sees="",
    status=0,
    recorded="3 paths delivered; 2 tasks succeeded",
)
@pytest.mark.parametrize(
    ("kept", "is_padded"), [(0.0, False), (0.5, False), (0.9, True)], ids=["empty", "cut", "zeros"]
)
def test_damaged_compiled_files_break_no_run(
    ready: Route, checkout: Path, fault: FaultCheck, kept: float, is_padded: bool
) -> None:
    run(ready, checkout, "main.py")
    sizes = {path: size for path, size in compiled(checkout).items() if not is_first(path.relative_to(checkout))}
    for path, size in sizes.items():
        os.truncate(path, max(HEADER_BYTES, int(size * kept)))
        if is_padded:
            os.truncate(path, size)

    result = run(ready, checkout, "main.py")
    again = run(ready, checkout, "status.py")

    assert len(sizes) > 50
    fault.check(result, ready)
    assert (again.status, again.stderr) == (0, "")
    now = compiled(checkout)
    assert sum(now.get(path) == size for path, size in sizes.items()) > 20, "they are not compiled anew"


def test_the_file_that_cannot_replace_itself_fits_into_one_block(ready: Route, checkout: Path) -> None:
    run(ready, checkout, "status.py")

    assert [size for path, size in compiled(checkout).items() if is_first(path.relative_to(checkout))] < [BLOCK_BYTES]


@pytest.mark.parametrize("script", ["main.py", "set_time.py", "status.py", "test_config.py", "timer.py"])
def test_every_script_imports_the_guard_before_other_modules_of_ours(script: str) -> None:
    words = (ROOT / script).read_text().splitlines()
    ours = [line for line in words if line.startswith(("import utils", "import autotransfer", "from autotransfer"))]

    assert ours[0].startswith("import autotransfer ")
