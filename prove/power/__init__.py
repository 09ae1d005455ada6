"""The power is cut: what was not synced is dropped, torn or kept. The datastore forgets no commit that returned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from prove import native
from prove.crashes import AT_A_TIME, failure_of, seeds
from prove.power.series import PowerSeries
from prove.proof import Effort, Proof

TITLE = "Power cuts"
CLAIM = """\
Every write, sync, creation and removal of the datastore and its journal is noted while the scripts run; the notes
account for every byte of both. From them come states that a disk may be in after its power was cut at any of these
moments: what was not synced is there, missing, or torn into sectors of 512 or 4,096 bytes in any mixture of their
versions; space that was never written holds anything; the creation and the removal of the journal have happened or not
while their folder was not synced. In each state the datastore opens, is whole, and says what it said after a commit,
never an older one than the last that had returned. From some of them the runs go on, with Globus as it was at that
moment; in the end all that holds after crashes holds here too. What is assumed: a sector is written whole or not at
all, and a disk that says it has written has written."""
KILLS = 12


class SeriesResult(NamedTuple):
    """The figures of a series, and its failure."""

    killed: int
    runs: int
    cuts: int
    states: int
    journals: int
    failure: str


def prove(effort: Effort) -> Proof:
    """The proof; it does not hold either when too few states came up, for then nothing was shown."""
    if why := native.why_not():
        return Proof(TITLE, CLAIM, failures=(f"Nothing was tried: {why}",))
    library = native.build(effort.folder)
    kills = effort.times(KILLS, 5)
    count = effort.times(30, 2)

    def one(seed: int) -> SeriesResult:
        series = PowerSeries(seed, effort.folder / str(seed), library)
        with series:
            failure = failure_of(lambda: series.play(kills))
            return SeriesResult(
                sum(series.killed.values()), series.runs, series.cuts, series.states, series.journals, failure
            )

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        results = list(pool.map(one, seeds(effort, count)))
    states, journals = sum(each.states for each in results), sum(each.journals for each in results)
    failures = [each.failure for each in results if each.failure]
    if states < effort.times(2000, 40) or not 0 < journals < states:
        failures.append(f"too little was tried: {states} states, {journals} of them with a journal")
    figures = (
        ("series", f"{len(results)}"),
        ("scripts started", f"{sum(each.runs for each in results):,}"),
        ("of these killed with the cut", f"{sum(each.killed for each in results):,}"),
        ("states of the disk opened and judged", f"{states:,}"),
        ("of these with a journal", f"{journals:,}"),
        ("states from which the runs went on", f"{sum(each.cuts for each in results):,}"),
    )
    return Proof(TITLE, CLAIM, figures, (), tuple(failures))
