"""Random mutants: a change of one expression or statement in a module, which the module's tests must notice.

Every change is tried in a copy of the checkout, with the tests that concern its module and no others.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

# Imported once, here, for all the forks that run tests.
import flask  # noqa: F401
import globus_sdk  # noqa: F401
import jwt  # noqa: F401
import pytest

from prove.mutants.changes import Mutant, mutants_of
from prove.proof import Effort, Proof

ROOT = Path(__file__).resolve().parent.parent.parent
LONG_SAMPLE, SHORT_SAMPLE = 88, 4
MOST_SURVIVORS = 0.05
# A mutant may loop for ever: what takes that many times as long as the code itself has been noticed.
SAID = "said"
PATIENCE, LEAST_SECONDS = 5, 120

# The tests of each module, the quickest first: the first failure ends them.
TESTS: Mapping[str, Sequence[str]] = {
    "autotransfer/scan/quick.py": ("tests/unit/scan/test_quick.py", "tests/scripts/test_quick_scan.py"),
    "autotransfer/plan/planner.py": (
        "tests/unit/plan/test_compare.py",
        "tests/scripts/test_submission.py",
        "tests/scripts/test_paths_from.py",
        "tests/scripts/test_main_options.py",
    ),
    "autotransfer/plan/set_times.py": ("tests/unit/plan/test_set_times.py", "tests/scripts/test_set_time.py"),
    "autotransfer/status/path.py": (
        "tests/unit/status/test_path.py",
        "tests/scripts/test_status.py",
        "tests/scripts/test_ctime.py",
    ),
    "autotransfer/status/verdict.py": ("tests/unit/status/test_verdict.py", "tests/scripts/test_verdicts.py"),
    "autotransfer/transfer/submit.py": (
        "tests/unit/transfer/test_submit.py",
        "tests/scripts/test_submission.py",
        "tests/faults/test_requests.py",
    ),
    "autotransfer/transfer/reconcile.py": (
        "tests/unit/transfer/test_reconcile.py",
        "tests/faults/test_lost_tasks.py",
    ),
    "autotransfer/transfer/ended.py": (
        "tests/unit/transfer/test_ended.py",
        "tests/unit/transfer/test_reconcile.py",
        "tests/scripts/test_evidence.py",
    ),
    "autotransfer/transfer/results.py": ("tests/unit/transfer/test_results.py", "tests/scripts/test_evidence.py"),
    "autotransfer/transfer/credit.py": ("tests/unit/transfer/test_credit.py", "tests/scripts/test_evidence.py"),
    "autotransfer/datastore/shelf.py": ("tests/unit/datastore/test_shelf.py", "tests/unit/datastore/test_store.py"),
}

CLAIM = f"""\
Of the modules that decide what is sent, what is recorded and what is said, a random sample is changed, an expression or
a statement at a time: a comparison moved by one or turned round, `and` for `or`, a `not` or a condition turned round, a
number one larger, a word another, a call or an argument removed, nothing returned. The tests that concern the module
must fail. Not changed are annotations, docstrings and the words of messages. What survives and changes nothing that
could be noticed is equivalent: judged by a person, with the reason, in `prove/mutants/equivalent.txt`. It holds if
fewer than {MOST_SURVIVORS:.0%} of the others survive."""


def prove(effort: Effort) -> Proof:
    """Try a sample, the same number of each module."""
    chance = random.Random(effort.seed)
    judged = equivalent_mutants()
    checkout = _copied(effort.folder / "checkout")
    a_module = max(1, effort.times(LONG_SAMPLE, SHORT_SAMPLE) // len(TESTS))
    rows: list[tuple[str, ...]] = [("module", "could be made", "tried", "noticed", "equivalent", "survived")]
    left: list[str] = []
    totals = [0] * 5
    for module, tests in TESTS.items():
        mutants = mutants_of((ROOT / module).read_text())
        sample = chance.sample(mutants, min(a_module, len(mutants)))
        equivalent = [mutant for mutant in sample if (module, mutant.name) in judged]
        survived = _survivors(checkout, module, tests, [mutant for mutant in sample if mutant not in equivalent])
        left += [f"{module}:{mutant.line}: {mutant.name}" for mutant in survived]
        noticed = len(sample) - len(equivalent) - len(survived)
        counts = (len(mutants), len(sample), noticed, len(equivalent), len(survived))
        rows.append((f"`{module}`", *(f"{count:,}" for count in counts)))
        totals = [sum(pair) for pair in zip(totals, counts)]
    rows.append(("all", *(f"{count:,}" for count in totals)))
    _, tried, _, equivalent_count, survived_count = totals
    share = survived_count / max(1, tried - equivalent_count)
    figures = (
        ("mutants that survived, of those that are not equivalent", f"{share:.1%}"),
        *(("survived", what) for what in left),
    )
    failures = tuple(left) if share >= MOST_SURVIVORS else ()
    return Proof("What the tests notice", CLAIM, figures, tuple(rows), failures)


def equivalent_mutants() -> set[tuple[str, str]]:
    """Those judged to change nothing, each as its module and its name."""
    lines = Path(__file__).with_name("equivalent.txt").read_text().splitlines()
    return {(module, name) for module, _, name in (line[2:].partition(" | ") for line in lines if " | " in line)}


def _copied(checkout: Path) -> Path:
    """All that git knows of, in another place."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True)
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    return checkout


def _survivors(checkout: Path, module: str, tests: Sequence[str], mutants: Sequence[Mutant]) -> list[Mutant]:
    """Those that no test notices: neither the pure tests, nor those that run scripts, which are asked only then."""
    pure = [test for test in tests if test.startswith("tests/unit/")]
    left = list(mutants)
    for stage in (pure, [test for test in tests if test not in pure]):
        if stage and left:
            left = _unnoticed(checkout, module, stage, left)
    for mutant in left:
        print(f"  SURVIVED {module}:{mutant.line}: {mutant.name}", flush=True)
    return left


def _unnoticed(checkout: Path, module: str, tests: Sequence[str], mutants: Sequence[Mutant]) -> list[Mutant]:
    path = checkout / module
    original = path.read_text()
    started = time.monotonic()
    if not _holds(checkout, tests, seconds=1200):
        said = (checkout.parent / SAID).read_text()[-2000:]
        raise RuntimeError(f"the tests of {module} fail without a mutant:\n{said}")
    seconds = max(LEAST_SECONDS, PATIENCE * (time.monotonic() - started))
    left = []
    for number, mutant in enumerate(mutants):
        path.write_text(mutant.applied_to(original))
        os.utime(path, (10**9 + number, 10**9 + number))  # or what was compiled before may pass for it
        if _holds(checkout, tests, seconds=seconds):
            left.append(mutant)
    path.write_text(original)
    return left


def _holds(checkout: Path, tests: Sequence[str], *, seconds: float) -> bool:
    """Whether the tests pass. They run in a fork, which need not import pytest and the packages again."""
    pid = os.fork()
    if pid == 0:
        os._exit(_tested(checkout, tests))
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > until:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        time.sleep(0.05)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 1, 2):  # pytest's own: no tests, a wrong option
        raise RuntimeError(f"pytest ended with {code}; what it said is in {checkout.parent / SAID}")
    return code == 0


def _tested(checkout: Path, tests: Sequence[str]) -> int:
    """What pytest ends with, in a process of its own."""
    os.setsid()
    os.chdir(checkout)
    said = os.open(checkout.parent / SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(f"{ROOT}{os.sep}") and ".venv" not in str(module):
            del sys.modules[name]
    sys.path[:] = [path for path in sys.path if path not in ("", str(ROOT), str(ROOT / "tests/support"))]
    options = [
        "-x",
        "-q",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        f"--basetemp={checkout.parent / 'scratch'}",
    ]
    try:
        return int(pytest.main([*options, *tests]))
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        return 1
