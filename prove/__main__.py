"""Run the proofs and write the page.

python -m prove                         all of it, about an hour
python -m prove --short                 what CI has time for
python -m prove crashes --seed 7        one part, again
"""

from __future__ import annotations

import argparse
import importlib
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

from prove.page import page
from prove.proof import Effort, Proof

PARTS = ("crashes", "power", "model", "faults", "shapes", "security", "fuzzing", "years", "cron")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m prove", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="where all chance comes from")
    parser.add_argument("--short", action="store_true", help="only what a test run has time for")
    parser.add_argument("--page", type=Path, help="write the page here (default: docs/reliability.md when all is run)")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    proofs = [_run(name, chosen.seed, is_short=chosen.short) for name in chosen.parts or PARTS]
    is_all = not (chosen.parts or chosen.short)
    target = chosen.page or (Path(__file__).parent.parent / "docs/reliability.md" if is_all else None)
    if target is not None:
        machine = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
        effort = " ".join(["python -m prove", *chosen.parts, *["--short"] * chosen.short, f"--seed {chosen.seed}"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page(proofs, seed=chosen.seed, machine=machine, effort=effort))
    return int(any(proof.failures for proof, _ in proofs))


def _run(name: str, seed: int, *, is_short: bool) -> tuple[Proof, float]:
    print(f"{name}: seed {seed} ...", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"prove-{name}-") as folder:
        proof: Proof = importlib.import_module(f"prove.{name}").prove(Effort(seed, is_short, Path(folder)))
    seconds = time.monotonic() - started
    for what, how_much in proof.figures:
        print(f"  {what}: {how_much}")
    for failure in proof.failures:
        print(f"  FAILED: {failure}")
    print(f"  {'did not hold' if proof.failures else 'held'}, {seconds:.0f} s", flush=True)
    return proof, seconds


if __name__ == "__main__":
    sys.exit(main())
