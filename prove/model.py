"""A model of a route, played at random: edits, tasks that go wrong, lost answers, kills, wrong clocks, new settings.

The machine is tests/support/model.py; `make test` plays a few examples of it, this part as many as ten minutes hold.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from model import CREDITS, EXCUSED, MOST_RUNS, PROMISES, ROUTES, RUNS, TASKS, Model, play
from model_mutants import MUTANTS, Mutant, noticed
from model_oracle import RUNS_TO_EQUALITY

from prove.proof import Effort, Proof

EXAMPLES_AT_A_TIME, STEPS = 50, 60
LONG_SECONDS, SHORT_SECONDS = 600, 20
MOST_SEEDS = 5  # for a mutant: each plays some hundred routes at most
MOST_FAILURES = 3  # each takes minutes to shrink, and the first is likely to be the cause of the others

CLAIM = f"""\
After every run, whatever was edited, went wrong or was killed before and during it: what counts as delivered equals the
destination byte for byte; what differs is in flight, held back and counted, or reported; no path is in two tasks at a
time; nothing is sent again that arrived and that nobody has touched since. A tree that is then left alone is equal
after at most {RUNS_TO_EQUALITY} runs (two more for each time that it holds more than one run may send, three more where
Globus has forgotten a task, twice as many while the destination holds a file where a folder should be), and after that
a run sends nothing.

On two of three routes Globus is wrong now and then: its transfer node sees older files or misses new ones, it takes
modified files for current, its lists and counts are odd, the destination keeps no times or does not verify; and
contents change with their times put back. There a witness reads the bytes of both trees at each commit and follows none
of the tool's reasons: what is recorded as `verified` or `equal` was at the destination byte for byte as the source was
when it had that size, mtime and ctime; what `status.py --path` calls safe is there byte for byte at that moment.
Excused is only a transfer node that still saw an older version of a file (limits.md), and copied that, of the very same
size; or found it equal where no size of the copy was recorded.

That the witness would see a fault is tried as well: the rules by which ended tasks are credited are made wrong in
{len(MUTANTS)} ways, one at a time, and it must notice each."""


def prove(effort: Effort) -> Proof:
    """Play until the time is over or enough has failed."""
    until = time.monotonic() + effort.times(LONG_SECONDS, SHORT_SECONDS)
    failures: list[str] = []
    rounds = 0
    Model.tally.clear()
    while time.monotonic() < until and len(failures) < MOST_FAILURES:
        seed = effort.seed + rounds
        rounds += 1
        try:
            play(
                examples=effort.times(EXAMPLES_AT_A_TIME, 10),
                steps=STEPS,
                seed=seed,
                may_mislead=True,
            )
        except Exception as error:
            title = f"{error} (again: python -m prove model --seed {seed})"
            failures.append("\n".join([title, *getattr(error, "__notes__", [])]))
    figures = _figures(rounds)
    if not effort.is_short:
        unnoticed = [mutant.__name__ for mutant in MUTANTS if not _is_noticed(mutant, effort.seed)]
        failures += [f"The witness does not notice {name}." for name in unnoticed]
        noticed_words = f"{len(MUTANTS) - len(unnoticed)} of {len(MUTANTS)}"
        figures = (*figures, ("wrong rules that the witness noticed", noticed_words))
    return Proof("A model of a route", CLAIM, figures, failures=tuple(failures))


def _is_noticed(mutant: Mutant, seed: int) -> bool:
    return any(noticed(mutant, seed + number) for number in range(MOST_SEEDS))


def _figures(rounds: int) -> tuple[tuple[str, str], ...]:
    tally = Model.tally.copy()
    routes, runs, tasks, most_runs = (tally.pop(name, 0) for name in (ROUTES, RUNS, TASKS, MOST_RUNS))
    credits, promises, excused = (tally.pop(name, 0) for name in (CREDITS, PROMISES, EXCUSED))
    troubles = {name: tally.pop(name) for name in list(tally) if " to " in name}
    return (
        ("seeds played", f"{rounds:,}"),
        ("routes, each from an empty destination until it was at rest", f"{routes:,}"),
        ("steps", f"{sum(tally.values()):,}"),
        ("runs", f"{runs:,}"),
        ("transfer tasks accepted", f"{tasks:,}"),
        ("most runs until a tree that was left alone was equal", f"{most_runs}"),
        ("paths recorded as verified or equal, whose bytes were the same", f"{credits:,}"),
        ("files and folders called safe to delete, whose bytes were there", f"{promises:,}"),
        ("excused: the node saw an older version", f"{excused:,}"),
        ("steps by kind", _listed(tally)),
        ("trouble ordered", _listed(troubles)),
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
