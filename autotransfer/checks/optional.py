"""What optional settings need besides Globus: a writable folder, a program, a package. Nothing is started."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.paths import display
from autotransfer.common.settings import Settings


def options_set(settings: Settings) -> list[str]:
    """The names of these settings that are set."""
    names = ("METRICS_FILE", "REPORT_FILE", "PING_URL", "ON_PROBLEM", "SCAN_EXECUTOR")
    return [name for name in names if getattr(settings, name.lower())]


def refuse_unmet(settings: Settings) -> None:
    """Make sure that what they need is there. PING_URL is not tried: a ping would report a successful run.

    Raises:
        ConfigurationProblem: Something is missing; the details list everything.
    """
    findings = tuple(_unmet(settings))
    if findings:
        is_scan = any(finding.startswith("SCAN_EXECUTOR") for finding in findings)
        effect = "runs go on without it and say so in the log alone"
        if is_scan:
            effect = "the scan of a large tree ends the run, and nothing is sent"
        raise ConfigurationProblem(
            "What some settings need is not there",
            details=findings,
            remedy=f"Fix it, or remove the setting. Until then {effect}.",
        )


def _unmet(settings: Settings) -> Iterator[str]:
    for name in ("METRICS_FILE", "REPORT_FILE"):
        path = getattr(settings, name.lower())
        if path:
            yield from _unwritable(name, path)
    if settings.report_file:
        yield from _missing("REPORT_FILE", package="jinja2", extra="report")
    if settings.scan_executor:
        yield from _missing("SCAN_EXECUTOR", package="distributed", extra="dask")
    if settings.on_problem:
        program = settings.on_problem[0]
        # It is started in the folder "/".
        if shutil.which(os.path.join("/", program) if "/" in program else program) is None:
            path = os.environ.get("PATH") or os.defpath
            yield f"ON_PROBLEM: {display(program)} is not a program that this user may run (PATH is {path})"


def _unwritable(name: str, path: str) -> Iterator[str]:
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        yield f"{name}: there is no folder {display(folder)}"
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"{name}: this user may not write to {display(folder)}"
    elif os.path.isdir(path):
        yield f"{name}: {display(path)} is a folder"


def _missing(name: str, package: str, extra: str) -> Iterator[str]:
    if importlib.util.find_spec(package) is None:
        yield f"{name}: this Python lacks the package {package} (extra [{extra}])"
