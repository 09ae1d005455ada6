"""Attacks that need no luck: pickles that name code, files open to others, forged lines, services without TLS, leaks.

They are the tests of tests/security, run here as in `make test`; the pickles are read once more, one by one, to show
the outcome of each. Fuzzing is a part of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from prove.proof import Effort, Proof

ROOT = Path(__file__).resolve().parent.parent
CLAIM = """\
Whoever can write the datastore cannot make it run code: every pickle below, one that names code or a damaged one, ends
in one problem and exit status 5. No secret that an emulator gave out was found in any output or file of these tests;
every other test of the suite is looked through the same way. Our files are owner-only from their first instant,
whatever the umask; what others can write or own is reported with the command that fixes it. No name starts a line in
the log or reaches a terminal as more than text. Services other than loopback are asked over https with certificates
only. No source turns data into code."""
REFUSED = "cannot be used: "


def prove(effort: Effort) -> Proof:
    """Read every hostile pickle; run every test of security and of what a terminal is shown."""
    outcomes = _pickles(effort.folder)
    failures = [
        f"the pickle {name!r} was not refused: {said}" for name, said in outcomes.items() if REFUSED not in said
    ]
    if (effort.folder / "mark").exists():
        failures.append("a pickle ran code")
    passed, tests_failed = _tests(effort)
    figures = (
        ("hostile pickles read", f"{len(outcomes)}"),
        ("tests of security that held", f"{passed}"),
    )
    reasons = Counter(said.split(REFUSED)[1].split(". Restore")[0] for said in outcomes.values() if REFUSED in said)
    rows = [(reason, str(count)) for reason, count in sorted(reasons.items())]
    table = (("what the owner reads", "pickles"), *rows)
    return Proof("Security", CLAIM, figures, table, (*failures, *tests_failed))


def _pickles(folder: Path) -> dict[str, str]:
    """The name of each pickle, and the problem that reading it ended with, or what was read."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/hostile.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


def _tests(effort: Effort) -> tuple[int, list[str]]:
    """How many tests held, and those that did not."""
    report = effort.folder / "report.xml"
    where = ["tests/security/test_source.py"] if effort.is_short else ["tests/security", "tests/scripts/test_shapes.py"]
    words = ["-q", "-n", "2", f"--junitxml={report}", "-k", "security or terminal", *where]
    subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, check=False)
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    failures = [f"{case.get('classname')}::{case.get('name')}" for case in failed]
    return len(cases) - len(failed) - len(skipped), failures or ([] if cases else ["no test of security was found"])
