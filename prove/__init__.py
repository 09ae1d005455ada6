"""Proofs that take longer than tests should: `make prove` runs them and writes docs/reliability.md.

Each part is a module with one function, `prove(effort) -> Proof`; `python -m prove --help` lists them. What a part does
in seconds stands in tests/ too, so that `make test` meets it first. Nothing here is imported by the product.
"""

import sys
from pathlib import Path

# The route of the tests, with its tree and scripts, serves the proofs too.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
