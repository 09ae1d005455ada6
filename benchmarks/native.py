"""The two C programs: the floor of a scan, and the library that makes a file system slow; built where there is a cc."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

from benchmarks.running import Unfit

HERE = Path(__file__).resolve().parent
DELAY_MS = 0.2  # slow.c has it too
_COUNT = struct.Struct("=q")


def floor(folder: Path) -> Optional[Path]:
    """The program that only lists folders and checks files, built in a folder; None where there is no C compiler."""
    return _built(folder / "floor", "floor.c", "-pthread")


def slowness(folder: Path) -> Optional[Path]:
    """The library that slows a command down, built in a folder; None where that cannot be."""
    if not sys.platform.startswith("linux"):
        return None
    return _built(folder / "slow.so", "slow.c", "-shared", "-fPIC", "-ldl")


def _built(built: Path, source: str, *flags: str) -> Optional[Path]:
    if shutil.which("cc") is None:
        return None
    if built.exists():
        return built
    words = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(built), str(HERE / source), *flags]
    subprocess.run(words, check=True)
    return built


def slow_variables(library: Path, tree: Path) -> dict[str, str]:
    """The variables that make a process's calls about files of a tree slow, and count them from zero."""
    count = library.with_name("calls")
    count.write_bytes(bytes(_COUNT.size))  # the same file for all processes, also those that have it open already
    return {"LD_PRELOAD": str(library), "SLOW_BELOW": str(tree), "SLOW_COUNT": str(count)}


@contextmanager
def slowed(library: Path, tree: Path, *, calls: int) -> Iterator[Mapping[str, str]]:
    """The same, for a block in which a command runs once.

    Raises:
        Unfit: At the end, when it made fewer slow calls than it must have made.
    """
    variables = slow_variables(library, tree)
    yield variables
    (made,) = _COUNT.unpack(Path(variables["SLOW_COUNT"]).read_bytes())
    if made < calls:
        raise Unfit(f"only {made:,} of its {calls:,} calls went through the C library and were slow")
