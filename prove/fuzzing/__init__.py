"""Fuzzing: what reads bytes or text that others wrote gets random and mutated ones, for minutes."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase, strategies

from prove.fuzzing.border import BorderTargets
from prove.fuzzing.emulator import EmulatorTargets
from prove.fuzzing.store import StoreTargets
from prove.fuzzing.text import dates, intervals, items, moments
from prove.proof import Effort, Proof

LONG_SECONDS, SHORT_SECONDS = 30 * 60, 10
EXAMPLES_AT_A_TIME = 200
MOST_GROWTH_BYTES = 500_000_000
MOST_FAILURES = 3  # of one target: the others are most likely the same
CLAIM = """\
Whatever bytes stand in the datastore, and whatever a person or a service writes, this tool reads it or says in one
message what is wrong: no traceback, no endless run, no memory without bound. Each target is given random and mutated
input (hypothesis): values and pickles of a real datastore changed here and there, the file itself with bytes changed,
cut off or moved, times and intervals, items files, and to the emulator requests for every route with documents that are
nearly right.

Every field of every document that a run, test_config.py or timer.py reads of the service is changed at random: tasks,
pages and rows of their lists, submission IDs, answers to submissions, lists of tasks, collections, listings, tokens,
timers. They travel over HTTP through the real SDK, from a service that is not the emulator. No run ends as a bug or
blames the configuration, the datastore stays readable, a task whose answers are right is not affected, and once the
service is well again everything arrives."""

Target = Callable[[strategies.DataObject], None]


class Fuzzed(NamedTuple):
    """The result of one target."""

    name: str
    examples: int
    seconds: float
    failures: tuple[str, ...]


def prove(effort: Effort) -> Proof:
    """Give every target its share of the minutes."""
    with (
        StoreTargets(effort.folder / "store") as store,
        EmulatorTargets(effort.folder / "emulator") as emulator,
        BorderTargets(effort.folder / "border") as border,
    ):
        targets: dict[str, tuple[Target, int]] = {
            "reader of pickled values": (store.reader, 15),
            "values of another form": (store.values, 20),
            "bytes of the datastore's file": (store.file, 20),
            "scripts on a damaged datastore": (store.scripts, 15),
            "times": (moments, 4),
            "dates of timers": (dates, 3),
            "intervals of timers": (intervals, 4),
            "items files of timers": (items, 4),
            "the emulator's services": (emulator.services, 12),
            "the emulator's control": (emulator.control, 3),
            "answers of the service to runs": (border.runs, 85),
            "answers of the service to timer.py": (border.timers, 15),
        }
        shares = sum(share for _, share in targets.values())
        seconds = effort.times(LONG_SECONDS, SHORT_SECONDS)
        before = _peak_bytes()
        results = [
            fuzz(name, target, seconds=seconds * share / shares, seed=effort.seed)
            for name, (target, share) in targets.items()
        ]
        growth = _peak_bytes() - before
        mutations = border.mutations
    failures = [f"{result.name}: {failure}" for result in results for failure in result.failures]
    if growth > MOST_GROWTH_BYTES:
        failures.append(f"memory grew by {growth} bytes")
    figures = (
        ("inputs", f"{sum(result.examples for result in results):,}"),
        ("answers of the service that were changed", f"{mutations:,}"),
        ("minutes", f"{sum(result.seconds for result in results) / 60:.1f}"),
        ("growth of memory over all of it", f"{growth / 1e6:.0f} MB"),
    )
    rows = [(result.name, f"{result.examples:,}", f"{result.seconds:.0f} s") for result in results]
    return Proof("Fuzzing", CLAIM, figures, (("target", "inputs", "time"), *rows), tuple(failures))


def fuzz(name: str, target: Target, *, seconds: float, seed: int, examples: int = EXAMPLES_AT_A_TIME) -> Fuzzed:
    """Give a target examples, round by round, until its time is over; at least one round."""
    counter = 0
    failures: list[str] = []

    def counted(data: strategies.DataObject) -> None:
        nonlocal counter
        counter += 1
        target(data)

    settings = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    started = time.monotonic()
    while True:
        # A fresh function each time, since hypothesis notes the seed in it.
        attempt: Any = settings(hypothesis.given(strategies.data())(_copy(counted)))
        try:
            hypothesis.seed(seed)(attempt)()
        except Exception as error:
            failures.append(_story(error, seed))
        seed += 1
        if time.monotonic() - started >= seconds or len(failures) >= MOST_FAILURES:
            return Fuzzed(name, counter, time.monotonic() - started, tuple(failures))


def _copy(target: Target) -> Target:
    def attempt(data: strategies.DataObject) -> None:
        target(data)

    return attempt


def _story(error: Exception, seed: int) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    notes = " ".join(getattr(error, "__notes__", ()))
    place = f"{Path(where.filename).name}:{where.lineno}"
    return f"seed {seed}: {type(error).__name__}: {str(error)[:600]} at {place} {notes[:600]}"


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if peak > 1 << 28 else peak * 1024  # macOS counts bytes, Linux KiB
