"""The page docs/reliability.md, from proofs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from prove.proof import Proof

INTRODUCTION = """\
# Reliability

Written by `make prove`; edits are lost. It says what was tried to make this tool lose a file or send it twice, how
often, and what came of it. What it cannot survive stands in [limits](limits.md)."""


def page(proofs: Iterable[tuple[Proof, float]], *, seed: int, machine: str, effort: str) -> str:
    """The whole page.

    Args:
        proofs: Each with the seconds it took.
        machine: The interpreter and the system, in a line.
        effort: How to repeat it.
    """
    parts = [INTRODUCTION, f"Seed {seed}; {machine}. To repeat it: `{effort}`."]
    for proof, seconds in proofs:
        parts.append(_section(proof, seconds))
    return "\n\n".join(parts) + "\n"


def _section(proof: Proof, seconds: float) -> str:
    verdict = "**It did not hold**:" if proof.failures else "Held."
    blocks = [f"## {proof.title}", proof.claim, f"{verdict} ({_duration(seconds)})"]
    if proof.failures:
        blocks.append("\n".join(f"- {_cell(failure)}" for failure in proof.failures))
    if proof.figures:
        blocks.append(_table((("counted", "how much"), *proof.figures)))
    if proof.table:
        blocks.append(_table(proof.table))
    return "\n\n".join(blocks)


def _table(rows: tuple[tuple[str, ...], ...]) -> str:
    header, *body = rows
    lines = [header, ("---",) * len(header), *body]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
