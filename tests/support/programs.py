"""The programs that some tests need beside Python and make: which package has each, and the skip where one is missing.

A test that needs one says so with `needs("rsync")` as its mark, or calls `path_of("rsync")`. At the end of a run
`skipped_line` says which tests were skipped for which program, and how to get them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# Debian's package (or packages) of each program. `.ci/run` installs all of them but those in NOT_IN_CI.
PACKAGES = {
    "bash": "bash",
    "cc": "gcc libc6-dev",
    "chromium": "chromium",
    "cron": "cron",
    "date": "coreutils",
    "diff": "diffutils",
    "git": "git",
    "inotifywait": "inotify-tools",
    "logrotate": "logrotate",
    "make": "make",
    "promtool": "prometheus",
    "rsync": "rsync",
    "setpriv": "util-linux",
    "shellcheck": "shellcheck",
    "strace": "strace",
    "systemd-analyze": "systemd",
    "unshare": "util-linux",
}
# Every Debian has the first ones; promtool comes with a whole server, and repeats what prometheus_client has checked.
NOT_IN_CI = {"bash", "date", "diff", "setpriv", "unshare", "promtool"}
OTHER_NAMES = {"chromium": ("chromium-browser", "google-chrome", "google-chrome-stable")}
GLOBUS = "globus"  # no package: `make test` installs it in an environment of its own
# cron is where an ordinary user's PATH does not lead.
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
REASON = "{} is not installed"


def find(program: str) -> Optional[str]:
    """The path of a program, or None."""
    if program == GLOBUS:
        found = Path(os.environ.get("GLOBUS_CLI") or ROOT / ".venv-cli/bin/globus")
        return str(found) if found.exists() else None
    path = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"
    names = (program, *OTHER_NAMES.get(program, ()))
    return next((found for found in (shutil.which(name, path=path) for name in names) if found), None)


def path_of(program: str) -> str:
    """The path of a program; where there is none the test is skipped."""
    found = find(program)
    if found is None:
        pytest.skip(REASON.format(program))
    return found


def needs(program: str) -> pytest.MarkDecorator:
    """The mark of tests that need a program."""
    return pytest.mark.skipif(find(program) is None, reason=REASON.format(program))


def skipped_line(reasons: Iterable[str]) -> str:
    """What to say at the end about tests skipped for these reasons: one line, or "" when no program was missing."""
    pattern = re.compile(r"(?:Skipped: )?" + re.escape(REASON).replace(r"\{\}", r"(\S+)"))
    found = (pattern.fullmatch(reason) for reason in reasons)
    missing = Counter(match[1] for match in found if match and match[1] in {*PACKAGES, GLOBUS})
    if not missing:
        return ""
    count = sum(missing.values())
    programs = ", ".join(f"{program} ({number})" for program, number in sorted(missing.items()))
    packages = sorted({PACKAGES[program] for program in missing if program != GLOBUS})
    ways = [f"apt-get install {' '.join(packages)}"] if packages else []
    ways += ["make test, which installs globus"] if GLOBUS in missing else []
    return f"{count} test{'s' * (count > 1)} skipped for want of {programs}. To run them: {'; '.join(ways)}"
