"""What the tests leave in the checkout: nothing but caches, and no compiled file that cannot be read."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHES = (".hypothesis/", ".mypy_cache/", ".pytest_cache/", ".prove/", ".ruff_cache/", ".venv")
HEADER_BYTES = 16  # of a compiled file
State = Mapping[str, "tuple[int, int] | None"]


def state(root: Path = ROOT) -> State:
    """What git calls new or changed, also what it ignores, with mtime and size; empty where there is no git to ask."""
    words = ["git", "status", "--porcelain", "-z", "--ignored", "--no-renames"]
    try:
        listed = subprocess.run(words, cwd=root, capture_output=True, check=False)
    except FileNotFoundError:
        return {}
    names = [os.fsdecode(line[3:]) for line in listed.stdout.split(b"\0") if line]
    return {name: _stamp(root / name) for name in names if not name.startswith(CACHES) and "__pycache__" not in name}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size


def faults(before: State, root: Path = ROOT) -> Iterator[str]:
    """What is wrong with the checkout now, a line each."""
    now = state(root)
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name) or (name in before) != (name in now):
            yield f"{name} was made or changed in the checkout while the tests ran, by one of them or by somebody else"
    for folder in (root, *(root / name for name in ("autotransfer", "emulator", "prove", "tests"))):
        pattern = f"__pycache__/*.{sys.implementation.cache_tag}.pyc"
        for path in folder.glob(pattern) if folder == root else folder.rglob(pattern):
            if not _is_readable(path):
                yield f"{path.relative_to(root)} is damaged, and would break the next run: remove it"


def _is_readable(path: Path) -> bool:
    try:
        marshal.loads(path.read_bytes()[HEADER_BYTES:])
    except (EOFError, ValueError, TypeError):
        return False
    except OSError:  # another process is replacing it
        pass
    return True
