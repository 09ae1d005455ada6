"""Which of a run's problems to report now: each once, and again while it lasts. Pure.

Problems are the same when they have the same kind and cause (see `summary.Notice` and `errors.Problem`). Of one that is
about single paths the reported paths are remembered too.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple
from zlib import crc32

from autotransfer.common.errors import GLOBUS_AWAY, ExitStatus, Problem
from autotransfer.common.summary import NAMES_FOLD, PATH_REFUSED, PATH_SKIPPED, PATH_UNREAD, PATHS_FAILING, Notice
from autotransfer.common.times import DAY, HOUR, NS_PER_SECOND, local_text

# Where runs come more often, Globus may be away for less than this without a report.
BLIP_SECONDS = HOUR

# Further paths with a reported problem wait this long, so that there is one message a day and not one a run.
MORE_PATHS_SECONDS = DAY

# What failed is retried within a day; a problem that was not met for longer than that is over.
FORGOTTEN_SECONDS = 2 * DAY
MOST_NAMES, MOST_SUBJECTS, MOST_NAME_CHARACTERS = 100, 2000, 200

# The year 9999: no moment of ours is later.
LAST_SECOND = 253_402_300_800

# One report of these does not cover other subjects: further ones are reported too.
KINDS_BY_SUBJECT = (PATH_SKIPPED, PATH_REFUSED, PATH_UNREAD, NAMES_FOLD)
BUG = "bug"


class Outcome(NamedTuple):
    """How a run ended.

    Args:
        status: The exit status.
        problem: What ended it early.
        notices: What else a person should read.
        has_failed_paths: Whether paths that failed before are under way, back off, or will be retried.
        is_partial: Whether the run did not read everything.
        interval_seconds: The usual time between runs; 0.0 when that is not known.
    """

    status: int
    problem: Exception | None = None
    notices: tuple[Notice, ...] = ()
    has_failed_paths: bool = False
    is_partial: bool = False
    interval_seconds: float = 0.0


class Known(NamedTuple):
    """What is remembered of a problem. Moments are in seconds since the epoch; 0.0: not yet.

    Args:
        first, seen: When it was met first and last.
        reported, extended: When all of it was last reported, and when further paths were.
        ended_run: Whether it ends runs; such a problem is over as soon as a run gets through.
        subjects: Checksums of the reported subjects.
    """

    first: float
    seen: float
    reported: float = 0.0
    extended: float = 0.0
    ended_run: bool = False
    subjects: frozenset[int] = frozenset()


# By the name of a problem, which `name_of` returns.
Memory = dict[str, Known]

# A text, and the checksum of what it is about.
Met = tuple[str, int]


class Alerts(NamedTuple):
    """What to report now.

    Args:
        notices: The texts of the run's notices that are due.
        problem: What ended the run, if that is due, else "".
        since: Since when that problem has lasted, as a sentence, if it is a reminder; else "".
        lasting: How many problems last that were reported before and are not now.
        is_waited_for: Whether everything that is wrong is given time to pass by itself.
        is_over: Whether something had been reported, and all is well now.
    """

    notices: tuple[str, ...] = ()
    problem: str = ""
    since: str = ""
    lasting: int = 0
    is_waited_for: bool = False
    is_over: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.notices, *([f"{self.problem} {self.since}".rstrip()] if self.problem else []))


def name_of(kind: str, cause: str) -> str:
    """What a problem is known by. All ways in which Globus does not answer are one problem."""
    return kind if kind == GLOBUS_AWAY or not cause else f"{kind}: {cause}"[:MOST_NAME_CHARACTERS]


def name_of_problem(problem: Exception) -> str:
    """The same for what ended a run. A bug is known by its class and place: its words may hold anything."""
    if isinstance(problem, Problem):
        return name_of(problem.kind, problem.cause)
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
    return name_of(BUG, f"{type(problem).__name__}{place}")


def select_alerts(outcome: Outcome, memory: Memory, *, now: float, remind_seconds: float) -> tuple[Alerts, Memory]:
    """What of a run's outcome to report, and what to remember.

    Args:
        now: In seconds since the epoch.
        remind_seconds: After how long a problem that lasts is reported again; 0: by every run.
    """
    met = _met(outcome, memory if remind_seconds else {})
    end = None if outcome.problem is None else name_of_problem(outcome.problem)
    kept = {name: known for name, known in memory.items() if name in met or _may_last(known, outcome, now)}
    may_wait = 0 < outcome.interval_seconds <= BLIP_SECONDS and remind_seconds > 0
    notices: list[str] = []
    problem = problem_since = ""
    lasting = waiting = 0
    for name, texts in met.items():
        known = (kept.get(name) or Known(now, now))._replace(seen=now, ended_run=name == end)
        is_blip = may_wait and (name == GLOBUS_AWAY or (name == end and outcome.status == ExitStatus.GLOBUS))
        due, since, known = _due(known, texts, now, remind_seconds, is_blip)
        kept[name] = known
        if name == end:
            problem, problem_since = "".join(due), since
        else:
            notices += (f"{text} {since}".rstrip() for text in due)
        lasting += bool(known.reported and not due)
        waiting += not known.reported
    is_over = outcome.status == ExitStatus.DONE and not kept and any(known.reported for known in memory.values())
    latest = sorted(kept.items(), key=lambda item: -item[1].seen)[:MOST_NAMES]
    is_waited_for = bool(met) and waiting == len(met)
    return Alerts(tuple(notices), problem, problem_since, lasting, is_waited_for, is_over), dict(latest)


def _met(outcome: Outcome, memory: Memory) -> dict[str, list[Met]]:
    met: dict[str, list[Met]] = {}
    for notice in outcome.notices:
        if notice.kind == PATHS_FAILING:  # what comes between the tries of paths whose failure was reported
            if not notice.cause:
                continue
            name = next((name for name, known in memory.items() if _is_report_of(name, known, notice.cause)), "")
            if name:
                met.setdefault(name, []).append((notice.text, next(iter(memory[name].subjects), 0)))
                continue
        subject = notice.subject if notice.kind in KINDS_BY_SUBJECT else ""
        checksum = crc32(subject.encode("utf-8", "surrogateescape"))
        met.setdefault(name_of(notice.kind, notice.cause), []).append((notice.text, checksum))
    if outcome.problem is not None:
        met[name_of_problem(outcome.problem)] = [(str(outcome.problem), 0)]
    return met


def _is_report_of(name: str, known: Known, code: str) -> bool:
    return bool(known.reported) and name.endswith(f" {code}")


def _may_last(known: Known, outcome: Outcome, now: float) -> bool:
    """Whether a problem that this run did not meet may last all the same."""
    if not 0 <= now - known.seen <= FORGOTTEN_SECONDS:
        return False
    if outcome.problem is not None:  # the run did not get to where the others are met
        return True
    return (outcome.has_failed_paths or outcome.is_partial) and not known.ended_run


def _due(
    known: Known, met: list[Met], now: float, remind_seconds: float, is_blip: bool
) -> tuple[list[str], str, Known]:
    """The texts of one problem to report now, since when it has lasted if they are a reminder, and its new record."""
    texts = [text for text, _ in met]
    reported = known._replace(reported=now, extended=now, subjects=_few(subject for _, subject in met))
    if not remind_seconds or not known.reported:
        is_young = 0 <= now - known.first < BLIP_SECONDS
        return ([], "", known) if is_blip and is_young else (texts, "", reported)
    if not 0 <= now - known.reported < remind_seconds:
        return texts, f"It has lasted since {local_text(int(known.first * NS_PER_SECOND))}.", reported
    further = [(text, subject) for text, subject in met if subject not in known.subjects]
    if not further or 0 <= now - known.extended < MORE_PATHS_SECONDS:
        return [], "", known
    subjects = _few((*known.subjects, *(subject for _, subject in further)))
    return [text for text, _ in further], "", known._replace(extended=now, subjects=subjects)


def _few(checksums: Iterable[int]) -> frozenset[int]:
    return frozenset(islice(checksums, MOST_SUBJECTS))


def as_builtins(memory: Memory) -> dict[str, Any]:
    """For JSON."""
    return {name: [*known[:5], sorted(known.subjects)] for name, known in memory.items()}


def from_builtins(kept: Any) -> Memory:
    """What `as_builtins` returned. Anything else is not remembered, so it is reported again."""
    fields_by_name = kept if isinstance(kept, dict) else {}
    return {
        name: Known._make([*fields[:5], frozenset(fields[5])])
        for name, fields in fields_by_name.items()
        if _is_sound(fields)
    }


def _is_sound(fields: Any) -> bool:
    return (
        isinstance(fields, list)
        and len(fields) == 6
        and all(type(moment) in (int, float) and 0 <= moment < LAST_SECOND for moment in fields[:4])
        and type(fields[4]) is bool
        and isinstance(fields[5], list)
        and all(type(subject) is int for subject in fields[5])
    )
