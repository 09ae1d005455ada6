"""The fault matrix: every fault with what the user sees, the exit status and what is recorded, each tried for real.

The rows are the tests of tests/faults: scripts as subprocesses, real sockets, real files. What a row says, its test
checks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prove.proof import Effort, Proof

ROOT = Path(__file__).resolve().parent.parent
CLAIM = """\
Each fault below is brought about through real sockets and real files. The user reads what happened, why and what to do;
the exit status is the right one for scripts; no output and no log holds a traceback. When the fault is over, the next
runs deliver everything byte for byte, and nothing is submitted twice. `...` stands for names, ids and Globus's own
words."""
HEADER = ("fault", "what the user sees", "exit status", "what is recorded")


def prove(effort: Effort) -> Proof:
    """Run the rows; a short proof starts fewer runs at once."""
    rows_file = effort.folder / "rows.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/faults", "-n", "2"]
    options = [f"--fault-rows={rows_file}", f"--basetemp={effort.folder / 'tests'}"]
    environment = dict(os.environ) if effort.is_short else {**os.environ, "PROVE": "1"}
    run = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if not rows_file.exists():
        return Proof("Faults", CLAIM, failures=(f"the tests did not run: {(run.stdout + run.stderr)[-2000:]}",))
    rows: list[dict[str, Any]] = json.loads(rows_file.read_text())
    failures = [f"{row['fault']}: {row['why'][-1500:]} ({row['test']})" for row in rows if row["outcome"] == "failed"]
    if run.returncode != 0 and not failures:
        failures.append(f"a test that is no row failed: {run.stdout[-2000:]}")
    tried = [row for row in rows if row["outcome"] != "skipped"]
    figures = (("faults", str(len(rows))), ("tried here", str(len(tried))), ("held", str(len(tried) - len(failures))))
    return Proof("Faults", CLAIM, figures, (HEADER, *map(_line, rows)), tuple(failures))


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    if row["outcome"] == "skipped":
        return (row["fault"], f"not tried here: {row['why'].partition(': ')[2]}", "", "")
    return (row["fault"], row["sees"] or "nothing", str(row["status"]), row["recorded"])
