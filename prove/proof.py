"""The arguments and the result of every part of the proof."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Effort(NamedTuple):
    """How hard to try.

    Args:
        seed: Where all chance comes from; the page names it.
        is_short: Whether to do only what a test run has time for.
        folder: An empty folder of the part's own.
    """

    seed: int
    is_short: bool
    folder: Path

    def times(self, long: int, short: int) -> int:
        """One of two counts."""
        return short if self.is_short else long


class Proof(NamedTuple):
    """The result of a part.

    Args:
        title: Of its section on the page.
        claim: What holds if there are no failures; Markdown, a short paragraph.
        figures: What was counted or measured, each (what, how much).
        table: A header and rows, when the part has a table of its own.
        failures: What did not hold, each with what is needed to see it again.
    """

    title: str
    claim: str
    figures: tuple[tuple[str, str], ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    failures: tuple[str, ...] = ()


class Result(NamedTuple):
    """A proof with what it took.

    Args:
        part: The module's name.
        seconds: How long it ran.
        machine: The interpreter, the system, and the commit that was proved.
    """

    part: str
    proof: Proof
    seed: int
    is_short: bool
    seconds: float
    machine: str

    @property
    def command(self) -> str:
        """How to repeat it."""
        return f"python -m prove {self.part} --seed {self.seed}" + " --short" * self.is_short
