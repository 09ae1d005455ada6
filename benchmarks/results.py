"""What a benchmark found, and how much was asked of it. Pure."""

from __future__ import annotations

from typing import NamedTuple, Optional

from benchmarks.running import Figures


class Effort(NamedTuple):
    """Sizes and counts.

    Args:
        files: In the tree that most figures are about.
        changes: Scattered files that change in it.
        huge_files: In the tree of ten times the size; 0: it is left out.
        small_sizes: Of further trees, the smallest first.
        slow_files: In the tree on the slow file system; one of small_sizes.
        runs, few_runs: How many rounds are timed; of the huge tree and the slow file system.
    """

    files: int
    changes: int
    huge_files: int
    small_sizes: tuple[int, ...]
    slow_files: int
    runs: int
    few_runs: int


class Machine(NamedTuple):
    """Where it was measured, in words."""

    processor: str
    processors: int
    memory_bytes: int
    system: str
    file_system: str
    python: str
    load: float
    date: str


class Results(NamedTuple):
    """Everything the page says.

    Args:
        sizes: By number of files: what each command took, by title.
        huge: What commands took in the rounds of the huge tree, by files and title; the tree of `files` is in it too.
        slow: What commands took on the slow file system, by title.
        slow_large: The same on the largest of small_sizes: full scans by this machine alone, and with Dask.
        datastore_bytes: Of the tree that most figures are about.
        missing: What could not be measured and why, by title.
    """

    effort: Effort
    machine: Machine
    versions: dict[str, str]
    sizes: dict[int, dict[str, Figures]]
    huge: dict[int, dict[str, Figures]]
    slow: dict[str, Figures]
    datastore_bytes: int
    missing: dict[str, str]
    slow_large: dict[str, Figures]

    @property
    def main(self) -> dict[str, Figures]:
        """What each command took on the tree that most figures are about."""
        return self.sizes[self.effort.files]

    def huge_figures(self, files: int, title: str) -> Optional[Figures]:
        """What a command took in the rounds of the huge tree; None where it was not measured."""
        return self.huge.get(files, {}).get(title)
