"""The page docs/reliability.md, from proofs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from prove.proof import Result

INTRODUCTION = """\
# Reliability

Written by `make prove`; edits are lost. It says what was tried to make this tool lose a file or send it twice, how
often, and what came of it. What it cannot survive stands in [limits](limits.md)."""


def page(results: Iterable[Result]) -> str:
    """The whole page, a section a result."""
    return "\n\n".join([INTRODUCTION, *map(_section, results)]) + "\n"


def _section(result: Result) -> str:
    proof = result.proof
    verdict = "**It did not hold**:" if proof.failures else "Held."
    again = f"{verdict} {_duration(result.seconds)}; {result.machine}. To repeat it: `{result.command}`."
    blocks = [f"## {proof.title}", proof.claim, again]
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
