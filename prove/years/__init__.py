"""Unattended for years: thousands of runs in a row, on the emulator's clock, with all that years bring along."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

from suite import DST_ID, SRC_ID

from autotransfer.common.files import NAMES
from autotransfer.datastore import history
from autotransfer.datastore.tasks import Task
from emulator.http.server import Emulator
from emulator.world import Collection
from prove.proof import Effort, Proof
from prove.years.route import Lived, Years

STEP_HOURS = 3.0
LONG_RUNS, SHORT_RUNS = 10_000, 300
LONG_SCRIPT_RUNS, SHORT_SCRIPT_RUNS = 1_000, 20
MOST_GROWTH = 1.3
MOST_DATASTORE_BYTES = 8_000_000
MOST_TOKENS_BYTES = 100_000
# One run's lines may lie above the limit at which a log is set aside.
LOG_MAX_BYTES = 10_000
MOST_LOG_BYTES = 2 * LOG_MAX_BYTES + 20_000
CLAIM = """\
A person signs in once; then cron runs the tool for years, while files come, change and go, requests and tasks fail, and
the access token expires every two days. The datastore, the log, the stored login and the memory stay bounded; a run
takes as long at the end as in the beginning; and of every file that is there it stays known which task delivered it,
and when. The clock is the emulator's; most runs are done in one process, the others as cron does them."""


def prove(effort: Effort) -> Proof:
    """Live through the years twice: in one process, and with a process for each run."""
    failures: list[str] = []
    runs = effort.times(LONG_RUNS, SHORT_RUNS)
    with _globus() as globus:
        years = Years(effort.folder / "engine", globus, random.Random(effort.seed), LOG_MAX_BYTES)
        with years.aimed():
            lived = years.live(runs, step_hours=STEP_HOURS)
        failures += findings(years, lived)
        figures = [*_figures(years, lived, runs), *_growth(lived, failures)]
    script_runs = effort.times(LONG_SCRIPT_RUNS, SHORT_SCRIPT_RUNS)
    with _globus() as globus:
        years = Years(effort.folder / "scripts", globus, random.Random(effort.seed + 1), LOG_MAX_BYTES)
        by_cron = years.live(script_runs, step_hours=STEP_HOURS, by_cron=True)
        failures += findings(years, by_cron)
        figures += _cron_figures(years, by_cron, script_runs)
    return Proof("Unattended for years", CLAIM, tuple(figures), failures=tuple(dict.fromkeys(failures)))


def _globus() -> Emulator:
    ends = [
        Collection(id=SRC_ID, root=Path("/"), name="Beamline"),
        Collection(id=DST_ID, root=Path("/"), name="Archive"),
    ]
    return Emulator(ends)


def findings(years: Years, lived: Lived, *, most_datastore_bytes: int = MOST_DATASTORE_BYTES) -> list[str]:
    """What did not stay bounded, or was forgotten."""
    found = list(lived.failures)
    for name, most_bytes in (("datastore", most_datastore_bytes), ("tokens.db", MOST_TOKENS_BYTES)):
        if years.size_bytes(name) > most_bytes:
            found.append(f"{name} has grown to {years.size_bytes(name)} bytes")
    log_bytes = sum(years.size_bytes(name) for name in ("log", "log.1"))
    if log_bytes > MOST_LOG_BYTES:
        found.append(f"the log has grown to {log_bytes} bytes")
    files = {path.name for path in years.route.code_path.iterdir()}
    if strange := files - set(NAMES):
        found.append(f"CODE_PATH holds {sorted(strange)}")
    with years.records() as store:
        named = years.named_tasks(store)
        whole = sum(isinstance(task, Task) for task in store.history())
        packed = sum(1 for _ in store.history()) - whole
    if whole >= 3 * history.KEPT_WHOLE:
        found.append(f"{whole} tasks are kept whole")
    if packed >= max(history.SWEPT_FROM, 2 * len(named)) + 3 * history.KEPT_WHOLE:
        found.append(f"{packed} tasks are kept, and records name {len(named)}")
    for rel_path in years.known:
        if why := years.why_unknown(rel_path):
            found.append(f"after all: {why}")
    return found


def _growth(lived: Lived, failures: list[str]) -> list[tuple[str, str]]:
    """Whether the last tenth of the runs took longer than the first, and memory grew after it."""
    tenth = len(lived.cpu_seconds) // 10
    # Beside the same work at the same moment: another program on the machine must not look like growth.
    beside = [run / work for run, work in zip(lived.cpu_seconds, lived.work_seconds)]
    growth = statistics.median(beside[-tenth:]) / statistics.median(beside[:tenth])
    first, last = (statistics.median(times) for times in (lived.cpu_seconds[:tenth], lived.cpu_seconds[-tenth:]))
    walls = [statistics.median(times) for times in (lived.wall_seconds[:tenth], lived.wall_seconds[-tenth:])]
    # A few runs say little about time: then it is reported, not checked.
    if tenth >= 1000 and growth > MOST_GROWTH:
        failures.append(f"the last {tenth:,} runs took {growth:.2f} times as much CPU time as the first")
    memory_growth = lived.peak_memory[-1] / lived.peak_memory[tenth]
    if memory_growth > MOST_GROWTH:
        failures.append(f"memory grew by a factor of {memory_growth:.2f} after the first {tenth} runs")
    return [
        (f"median CPU time of a run, first and last {tenth:,}", f"{first * 1000:.1f} ms, {last * 1000:.1f} ms"),
        ("the same, each beside a piece of work that never changes", f"a factor of {growth:.2f}"),
        (f"median time of a run, first and last {tenth:,}", f"{walls[0] * 1000:.1f} ms, {walls[1] * 1000:.1f} ms"),
        ("longest run, with waits for answers that failed", f"{max(lived.wall_seconds):.1f} s"),
        (f"peak memory at the end over that after {tenth:,} runs", f"{memory_growth:.2f}"),
    ]


def _figures(years: Years, lived: Lived, runs: int) -> list[tuple[str, str]]:
    with years.records() as store:
        named = len(years.named_tasks(store))
        history = list(store.history())
    whole = sum(isinstance(task, Task) for task in history)
    return [
        ("runs in one process", f"{runs:,}, {runs * STEP_HOURS / 24 / 365:.1f} years"),
        ("tasks", f"{lived.tasks:,}, {lived.bad_tasks:,} of them failed, lost or with paths skipped"),
        ("runs that Globus refused or that could not reach it", f"{lived.refused_runs:,}"),
        ("new access tokens", f"{lived.refreshes:,}"),
        ("files delivered, some more than once", f"{lived.arrived:,}"),
        ("deliveries looked up", f"{lived.looked_up + len(years.known):,}"),
        ("tasks kept whole, packed, and named by a record", f"{whole:,}, {len(history) - whole:,}, {named:,}"),
        ("datastore after each tenth of the runs", ", ".join(f"{size // 1024} KiB" for size in lived.datastore_bytes)),
        ("stored login", f"{years.size_bytes('tokens.db') // 1024} KiB"),
    ]


def _cron_figures(years: Years, lived: Lived, runs: int) -> list[tuple[str, str]]:
    tenth = max(1, len(lived.wall_seconds) // 10)
    walls = [statistics.median(times) for times in (lived.wall_seconds[:tenth], lived.wall_seconds[-tenth:])]
    return [
        ("runs as processes of cron", f"{runs:,}, exit statuses {', '.join(map(str, sorted(lived.statuses)))}"),
        (f"median time of such a run, first and last {tenth}", f"{walls[0] * 1000:.0f} ms, {walls[1] * 1000:.0f} ms"),
        ("new access tokens there", f"{lived.refreshes:,}"),
        ("log, set aside at 10,000 bytes", f"{years.size_bytes('log'):,} and {years.size_bytes('log.1'):,} bytes"),
        ("datastore there", f"{years.size_bytes('datastore') // 1024} KiB"),
    ]
