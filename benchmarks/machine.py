"""The machine, in the words of the page."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.results import Machine


def machine(folder: Path) -> Machine:
    """This machine, with the file system of a folder."""
    return Machine(
        processor=_processor(),
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        system=f"{_distribution()}, {platform.system()} {platform.release()}",
        file_system=_file_system(folder),
        python=platform.python_version(),
        load=os.getloadavg()[0],
        date=time.strftime("%Y-%m-%d"),
    )


def _processor() -> str:
    if sys.platform == "darwin":
        words = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    lines = _lines("/proc/cpuinfo")
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _distribution() -> str:
    names = [line.partition("=")[2].strip().strip('"') for line in _lines("/etc/os-release") if "PRETTY_NAME" in line]
    return names[0] if names else f"macOS {platform.mac_ver()[0]}"


def _file_system(folder: Path) -> str:
    """The type of the mount that a path is in."""
    path = str(folder.resolve()).rstrip("/") + "/"
    found = ("", "unknown")
    for line in _lines("/proc/mounts"):
        _, point, kind, *_ = line.split(" ")
        if path.startswith(point.rstrip("/") + "/") and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
