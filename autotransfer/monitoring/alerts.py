"""What of a run's problems is news: each is told once, and again while it lasts. Pure.

A problem is known by its kind, which is its text without ids, numbers and paths, and where it is about single paths by
those that were told. That much is remembered of each kind, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple
from zlib import crc32

from autotransfer.common.errors import ExitStatus, OutcomeUnknown, Problem, RunActive, Unreachable
from autotransfer.common.times import DAY, HOUR, NS_PER_SECOND, local_text

# Globus away for less than this is no news where runs come more often; it mends itself.
BLIP_SECONDS = HOUR


# Further paths with a problem that was told wait so long, so that there is one message a day and not one a run.
MORE_PATHS_SECONDS = DAY


# What failed is tried again after a day at the latest; a problem that was not met for longer than that is over.
FORGOTTEN_SECONDS = 2 * DAY


MOST_KINDS, MOST_SUBJECTS, MOST_KIND_CHARACTERS = 100, 2000, 200


# The year 9999: no moment of ours is beyond.
LAST_SECOND = 253_402_300_800


AWAY = "Globus does not answer"


AWAY_WORDS = r"\(HTTP (408|429|5\d\d)\b|: it cannot be reached: "


# What a text says before the path that it is about, that path, and what it says after it.
SUBJECTS = (r"(^Skipped )(.*)(: .*)", r"( left out )(.*?)(: Globus could not read it.*)")


# What varies from one message of a kind to the next; what stands in brackets stays.
VARYING = (
    r" --path=.*",
    r"https?://\S+",
    r"(?<=^Task )\S+ \(.*?\)(?= (?:is|left|ended|made)\b)",
    # Globus's own details of a code may change with each file that it tries.
    r"( is not getting on: \w+).*",
    r"( ended \w+ \(\w+).*",
    r"( for \d[\d.]* hours \(\w+).*",
    r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b",
    r"\brequest_id [^\s,)]+",
    r"\d[\d,.:]*",
)


class Kind(NamedTuple):
    """What a problem is known by: its kind, and which path it is about; "" where it is about none."""

    name: str
    subject: str = ""


def kind_of(text: str) -> Kind:
    """The kind of a notice, or of any problem's text.

    >>> kind_of("Skipped /data/run 7/a: b.txt: permission denied.")
    Kind(name='Skipped *: permission denied.', subject='/data/run 7/a: b.txt')
    >>> kind_of("Globus did not show task 81: Busy (HTTP 503, request_id x7). The next run tries again.").name
    'Globus does not answer'
    """
    if re.search(AWAY_WORDS, text):
        return Kind(AWAY)
    subject = ""
    for pattern in SUBJECTS:
        if found := re.search(pattern, text, re.DOTALL):
            before, subject, after = found.groups()
            text = f"{text[: found.start()]}{before}*{after}"
            break
    for pattern in VARYING:
        text = re.sub(pattern, _kept, text, flags=re.DOTALL)
    return Kind(text[:MOST_KIND_CHARACTERS], subject)


def _kept(found: re.Match[str]) -> str:
    return "".join(found.groups()) + "#"


def kind_of_problem(problem: Exception) -> Kind:
    """The kind of what ended a run."""
    if isinstance(problem, (Unreachable, OutcomeUnknown)):
        return Kind(AWAY)
    if isinstance(problem, RunActive):
        return Kind("A run is active for too long")
    if not isinstance(problem, Problem):
        return Kind(f"A bug: {kind_of(f'{type(problem).__name__}: {problem}').name}"[:MOST_KIND_CHARACTERS])
    return kind_of(str(problem))


class Ending(NamedTuple):
    """How a run ended.

    Args:
        status: The exit status.
        problem: What ended it early.
        notices: What else a person should read.
        has_failed_paths: Whether paths that failed before are under way, rest, or are to be sent again.
        is_partial: Whether the run did not look at everything.
        interval_seconds: How often runs come; 0.0 when that is not known.
    """

    status: int
    problem: Exception | None = None
    notices: tuple[str, ...] = ()
    has_failed_paths: bool = False
    is_partial: bool = False
    interval_seconds: float = 0.0


class Known(NamedTuple):
    """What is remembered of a kind of problem. Moments are in seconds since the epoch; 0.0: not yet.

    Args:
        first, seen: When it was met first and last.
        told, added: When all of it was told last, and when further paths were.
        ended_run: Whether it is one that ends runs, which is over as soon as a run gets through.
        subjects: Checksums of the paths that were told.
    """

    first: float
    seen: float
    told: float = 0.0
    added: float = 0.0
    ended_run: bool = False
    subjects: frozenset[int] = frozenset()


Memory = dict[str, Known]


# A text, and the checksum of the path that it is about.
Told = tuple[str, int]


class News(NamedTuple):
    """What is to be told now.

    Args:
        notices: Those of the run's notices that are news.
        problem: What ended the run, if it is news, else "".
        lasting: How many kinds of problem last that were told before and are not told now.
        is_waited_for: Whether all that is wrong is given time to pass by itself.
        is_over: Whether something had been told, and all is well now.
    """

    notices: tuple[str, ...] = ()
    problem: str = ""
    lasting: int = 0
    is_waited_for: bool = False
    is_over: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.notices, *([self.problem] if self.problem else []))


def judge(ending: Ending, memory: Memory, *, now: float, remind_seconds: float) -> tuple[News, Memory]:
    """What of a run's ending is news, and what is to be remembered.

    Args:
        now: In seconds since the epoch.
        remind_seconds: What lasts is told again after so long; 0: with every run.
    """
    met: dict[str, list[Told]] = {}
    for text in ending.notices:
        kind = kind_of(text)
        met.setdefault(kind.name, []).append((text, crc32(kind.subject.encode("utf-8", "surrogateescape"))))
    end = None if ending.problem is None else kind_of_problem(ending.problem)
    if end is not None:
        met[end.name] = [(str(ending.problem), 0)]
    kept = {name: known for name, known in memory.items() if name in met or _lasts(known, ending, now)}
    may_wait = 0 < ending.interval_seconds <= BLIP_SECONDS and remind_seconds > 0
    notices: list[str] = []
    problem, lasting, waiting = "", 0, 0
    for name, texts in met.items():
        is_end = end is not None and name == end.name
        known = kept.get(name) or Known(now, now)
        is_blip = may_wait and (name == AWAY or (is_end and ending.status == ExitStatus.GLOBUS))
        due, known = _tell(known._replace(seen=now, ended_run=is_end), texts, now, remind_seconds, is_blip)
        kept[name] = known
        if is_end:
            problem = "".join(due)
        else:
            notices += due
        lasting += bool(known.told and not due)
        waiting += not known.told
    is_over = ending.status == ExitStatus.DONE and not kept and any(known.told for known in memory.values())
    latest = sorted(kept.items(), key=lambda item: -item[1].seen)[:MOST_KINDS]
    return News(tuple(notices), problem, lasting, bool(met) and waiting == len(met), is_over), dict(latest)


def _lasts(known: Known, ending: Ending, now: float) -> bool:
    """Whether a problem that this run did not meet may only be out of sight."""
    if not 0 <= now - known.seen <= FORGOTTEN_SECONDS:
        return False
    if ending.problem is not None:  # it did not get to where the others are met
        return True
    return (ending.has_failed_paths or ending.is_partial) and not known.ended_run


def _tell(known: Known, met: list[Told], now: float, remind_seconds: float, is_blip: bool) -> tuple[list[str], Known]:
    """Those of a kind's texts that are to be told now, and what is then known of it."""
    texts = [text for text, _ in met]
    told = known._replace(told=now, added=now, subjects=_few(subject for _, subject in met))
    if not remind_seconds or not known.told:
        is_young = 0 <= now - known.first < BLIP_SECONDS
        return ([], known) if is_blip and is_young else (texts, told)
    if not 0 <= now - known.told < remind_seconds:
        since = f"It has lasted since {local_text(int(known.first * NS_PER_SECOND))}."
        return [f"{text} {since}" for text in texts], told
    further = [(text, subject) for text, subject in met if subject not in known.subjects]
    if not further or 0 <= now - known.added < MORE_PATHS_SECONDS:
        return [], known
    subjects = _few((*known.subjects, *(subject for _, subject in further)))
    return [text for text, _ in further], known._replace(added=now, subjects=subjects)


def _few(checksums: Iterable[int]) -> frozenset[int]:
    return frozenset(islice(checksums, MOST_SUBJECTS))


def as_builtins(memory: Memory) -> dict[str, Any]:
    """For JSON."""
    return {name: [*known[:5], sorted(known.subjects)] for name, known in memory.items()}


def from_builtins(kept: Any) -> Memory:
    """What `as_builtins` gave; of anything else nothing is remembered, so it is told again."""
    fields_by_name = kept if isinstance(kept, dict) else {}
    return {name: _known(fields) for name, fields in fields_by_name.items() if _is_sound(fields)}


def _known(fields: list[Any]) -> Known:
    first, seen, told, added, ended_run, subjects = fields
    return Known(first, seen, told, added, ended_run, frozenset(subjects))


def _is_sound(fields: Any) -> bool:
    return (
        isinstance(fields, list)
        and len(fields) == 6
        and all(type(moment) in (int, float) and 0 <= moment < LAST_SECOND for moment in fields[:4])
        and type(fields[4]) is bool
        and isinstance(fields[5], list)
        and all(type(subject) is int for subject in fields[5])
    )
