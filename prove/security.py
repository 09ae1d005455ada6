"""Attacks that need no luck: hostile pickles, open files, forged lines, services without TLS, secrets in what is written.

They are the tests of tests/security, which run here as they do in `make test`; the pickles are read once more one by one, to
show what each came to. Fuzzing is a part of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from prove.proof import Effort, Proof

ROOT = Path(__file__).resolve().parent.parent
CLAIM = """\
Whoever can write the datastore cannot make it run code, take all memory or all time: every pickle below ends in one
problem and exit status 5. No secret that an emulator gave out was found in any output or file of these tests (every other
test of the suite is looked through the same way). Our files are owner-only from their first instant, whatever the umask; what
others can write or own is reported with the command that mends it. No name starts a line in the log or reaches a terminal as
more than text. Services other than loopback are asked over https with certificates only. No source turns data into code."""
REFUSED = "cannot be used: "


def prove(effort: Effort) -> Proof:
    """Read every hostile pickle; run every test of security and of names."""
    found = _pickles(effort.folder)
    outcomes = found["outcomes"]
    failures = [f"the pickle {name!r} was not refused: {said}" for name, said, _ in outcomes if REFUSED not in said]
    if (effort.folder / "mark").exists():
        failures.append("a pickle ran code")
    passed, tests_failed = _tests(effort)
    failures += tests_failed
    slowest = max(outcomes, key=lambda outcome: float(outcome[2]))
    figures = (
        ("hostile pickles read", f"{len(outcomes)}"),
        ("the slowest of them", f"{slowest[2]:.1f} s ({slowest[0]})"),
        ("the most memory that reading all of them took", f"{found['peak_bytes'] / 1e6:.0f} MB"),
        ("tests of security that held", f"{passed}"),
    )
    reasons = sorted({said.split(REFUSED)[1].split(". Restore")[0] for _, said, _ in outcomes if REFUSED in said})
    table = (("what the owner is told", "pickles"),) + tuple(
        (reason, str(sum(reason in said for _, said, _ in outcomes))) for reason in reasons
    )
    return Proof("Security", CLAIM, figures, table, tuple(failures))


def _pickles(folder: Path) -> dict[str, list[tuple[str, str, float]]]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/hostile.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[tuple[str, str, float]]] = json.loads(done.stdout)
    return found


def _tests(effort: Effort) -> tuple[int, list[str]]:
    """How many tests held, and those that did not."""
    report = effort.folder / "report.xml"
    where = (
        ["tests/security/test_source.py", "tests/security/test_network.py"] if effort.is_short else ["tests/security"]
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            f"--junitxml={report}",
            *where,
            "tests/shapes",
            "-k",
            "not shapes or reaches",
        ],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    told = [f"{case.get('classname')}::{case.get('name')}" for case in failed]
    return len(cases) - len(failed) - len(skipped), told or ([] if cases else ["no test of security was found"])
