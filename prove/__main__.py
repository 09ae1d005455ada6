"""Run the proofs and write the page.

python -m prove                         all of it, more than an hour
python -m prove --short                 what CI has time for
python -m prove crashes --seed 7        one part, again

The page is made of the latest whole run of each part, which is kept in .prove/; a short run leaves no trace.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from prove.page import page
from prove.proof import Effort, Proof, Result

PARTS = ("crashes", "power", "model", "faults", "shapes", "security", "fuzzing", "mutants", "years", "cron")
ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".prove"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m prove", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="where all chance comes from")
    parser.add_argument("--short", action="store_true", help="only what a test run has time for")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    has_failed = False
    for part in chosen.parts or PARTS:
        result = _run(part, chosen.seed, is_short=chosen.short)
        has_failed |= bool(result.proof.failures)
        if not chosen.short:
            KEPT.mkdir(exist_ok=True)
            kept = {**result._asdict(), "proof": result.proof._asdict()}
            (KEPT / f"{part}.json").write_text(json.dumps(kept, indent=1))
            (ROOT / "docs/reliability.md").write_text(page(_kept()))
    return int(has_failed)


def _kept() -> Iterator[Result]:
    for part in PARTS:
        file = KEPT / f"{part}.json"
        if file.exists():
            kept = json.loads(file.read_text())
            proof = kept.pop("proof")
            pairs = {name: tuple(map(tuple, proof[name])) for name in ("figures", "table")}
            yield Result(proof=Proof(**{**proof, **pairs, "failures": tuple(proof["failures"])}), **kept)


def _run(part: str, seed: int, *, is_short: bool) -> Result:
    print(f"{part}: seed {seed} ...", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"prove-{part}-") as folder:
        proof: Proof = importlib.import_module(f"prove.{part}").prove(Effort(seed, is_short, Path(folder)))
    seconds = time.monotonic() - started
    for what, how_much in proof.figures:
        print(f"  {what}: {how_much}")
    for failure in proof.failures:
        print(f"  FAILED: {failure}")
    print(f"  {'did not hold' if proof.failures else 'held'}, {seconds:.0f} s", flush=True)
    return Result(part, proof, seed, is_short, seconds, _machine())


def _machine() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return f"Python {platform.python_version()}, {platform.system()}, commit {commit.stdout.strip() or 'unknown'}"


if __name__ == "__main__":
    sys.exit(main())
