"""Scripts are killed at random moments and at chosen system calls, over and over: nothing is lost or sent twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from prove import native
from prove.crashes.points import KINDS
from prove.crashes.series import Series, SeriesFailure
from prove.crashes.workers import kill_with_workers
from prove.proof import Effort, Proof

TITLE = "Crashes"
CLAIM = """\
`main.py` and `set_time.py` are killed with SIGKILL, at random moments and, by a library that stands between them and
the system, at chosen system calls: before it, in the middle of it, after it. Between the runs the tree is edited, tasks
take several runs, and some fail. After each series of kills the tool is left in peace. Then every file is at the
destination byte for byte, no two tasks ever carried one path at one time, no batch came with two submission_ids and no
submission_id with two batches, nothing that had arrived was sent again, the datastore is whole, no lock, journal or
process is left behind, and `set_time.py now`, killed too, makes nothing be sent again. Runs are also killed while
processes of their own scan for them: these go too, and with them the lock."""
AT_A_TIME = 2


class SeriesResult(NamedTuple):
    """The figures of a series, and its failure."""

    killed: Counter[str]
    runs: int
    submissions: int
    repeated: int
    failure: str


def prove(effort: Effort) -> Proof:
    """The proof; it does not hold either when a named point was never hit, for then nothing was shown."""
    if why := native.why_not():
        return Proof(TITLE, CLAIM, failures=(f"Nothing was tried: {why}",))
    library = native.build(effort.folder)
    kills = 20
    count = effort.times(54, 2)

    def one(seed: int) -> SeriesResult:
        with Series(seed, effort.folder / str(seed), library) as series:
            failure = failure_of(lambda: series.play(kills))
            return SeriesResult(series.killed, series.runs, series.watch.submissions, series.watch.repeated, failure)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        results = list(pool.map(one, seeds(effort, count)))
    killed: Counter[str] = sum((each.killed for each in results), Counter())
    failures = [each.failure for each in results if each.failure]
    workers, with_workers = 0, effort.times(20, 1)
    try:
        workers = kill_with_workers(effort.seed, effort.folder / "workers", library, kills=with_workers)
    except AssertionError as error:
        failures.append(f"killed while its workers scanned, seed {effort.seed}: {error}")
    if sum(killed.values()) < count * kills:
        failures.append(f"only {sum(killed.values())} scripts were killed")
    if not effort.is_short:
        failures += [f"no script was ever killed at {kind}" for kind in KINDS if not killed[kind]]
    figures = (
        ("series", f"{len(results)}"),
        ("scripts started", f"{sum(each.runs for each in results):,}"),
        ("killed at a random moment", f"{killed['at a random moment']:,}"),
        ("killed at a chosen system call", f"{sum(killed.values()) - killed['at a random moment']:,}"),
        ("kinds of calls among these", f"{len(set(killed) & set(KINDS))} of {len(KINDS)}"),
        ("killed while its processes scanned", f"{with_workers} ({workers} processes)"),
        ("tasks that Globus accepted", f"{sum(each.submissions for each in results):,}"),
        ("submissions repeated under their submission_id", f"{sum(each.repeated for each in results):,}"),
    )
    table = (("killed at", "times"), *((kind, f"{killed[kind]}") for kind in KINDS if killed[kind]))
    return Proof(TITLE, CLAIM, figures, table, tuple(failures))


def seeds(effort: Effort, count: int) -> list[int]:
    """A seed for each series."""
    return [effort.seed * 1000 + number for number in range(count)]


def failure_of(play: Callable[[], None]) -> str:
    """The failure of a series; "" when all held."""
    try:
        play()
    except SeriesFailure as failure:
        return str(failure)
    return ""
