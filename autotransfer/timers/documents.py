"""The documents that create and change timers. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from autotransfer.common.errors import UsageProblem
from autotransfer.common.settings import SYNC_LEVELS, Settings
from autotransfer.common.times import MINUTE, NS_PER_SECOND, iso_text, local_text
from autotransfer.timers.items_file import TimerItem

LONGEST_LABEL = 128

# A start in this recent past is taken as "now".
JUST_PASSED_SECONDS = MINUTE


class Schedule(NamedTuple):
    """When a timer runs; None for what the command line does not set."""

    interval_seconds: int | None
    start_ns: int | None
    stop_date_ns: int | None
    stop_runs: int | None

    def from_now(self, now_ns: int) -> Schedule:
        """The schedule with a start in the past, which the service refuses, replaced by the next run that is due.

        Raises:
            UsageProblem: No run is due after that.
        """
        if self.start_ns is None or self.start_ns >= now_ns:
            return self
        if now_ns - self.start_ns <= JUST_PASSED_SECONDS * NS_PER_SECOND:
            return self._replace(start_ns=None)
        if self.stop_runs == 1 or self.interval_seconds is None:
            raise UsageProblem(
                f"--start {local_text(self.start_ns)} has passed", remedy="Omit it to run now. Nothing was created."
            )
        interval_ns = self.interval_seconds * NS_PER_SECOND
        ticks = -((self.start_ns - now_ns) // interval_ns)
        return self._replace(start_ns=self.start_ns + ticks * interval_ns)

    def stop_after(self) -> dict[str, Any] | None:
        """The end in the form of the service's first interface; None when there is none.

        Raises:
            UsageProblem: It would never run.
        """
        if self.stop_runs is not None and self.stop_runs < 1:
            raise UsageProblem(
                f"--stop-after-runs {self.stop_runs} would never run",
                remedy="Give at least 1, or omit it to run without an end. Nothing was created or changed.",
            )
        if self.stop_runs is None and self.stop_date_ns is None:
            return None
        date = None if self.stop_date_ns is None else iso_text(self.stop_date_ns)
        return {"date": date, "n_runs": self.stop_runs}

    def document(self) -> dict[str, Any]:
        """The schedule in the form of POST /v2/timer.

        Raises:
            UsageProblem: It has no such form.
        """
        stop = self.stop_after()
        if stop is not None and None not in stop.values():
            raise UsageProblem(
                "--stop-after-date and --stop-after-runs cannot be combined",
                why="the Timers service ends a transfer timer by one or the other",
                remedy="Give only one of them. Nothing was created.",
            )
        if self.stop_runs == 1:  # the service's form for a single run; it has no interval
            once: dict[str, Any] = {"type": "once"}
            return once if self.start_ns is None else {**once, "datetime": iso_text(self.start_ns)}
        if self.interval_seconds is None:
            raise _no_interval()
        document: dict[str, Any] = {"type": "recurring", "interval_seconds": self.interval_seconds}
        if self.start_ns is not None:
            document["start"] = iso_text(self.start_ns)
        if self.stop_runs is not None:
            document["end"] = {"condition": "iterations", "count": self.stop_runs}
        if self.stop_date_ns is not None:
            if self.start_ns is not None and self.stop_date_ns <= self.start_ns:
                raise UsageProblem(
                    f"It would never run: the first run would be {local_text(self.start_ns)}, and "
                    f"--stop-after-date is {local_text(self.stop_date_ns)}",
                    remedy="Nothing was created.",
                )
            document["end"] = {"condition": "time", "datetime": iso_text(self.stop_date_ns)}
        return document


class TransferOptions(NamedTuple):
    """What the command line says about the transfer; None means as configured."""

    source_id: str
    destination_id: str
    items: list[TimerItem]
    label: str
    sync_level: str | None
    flags: dict[str, bool]
    exclude: list[str]
    recursive_symlinks: str | None


def timer_document(settings: Settings, name: str, schedule: Schedule, options: TransferOptions) -> dict[str, Any]:
    """A transfer timer in the form of POST /v2/timer; every option is sent explicitly, as in main.py.

    Raises:
        UsageProblem: The label or the schedule is not valid.
    """
    label = options.label or name
    if len(label) > LONGEST_LABEL or label != label.strip() or any(mark in label for mark in "\r\n"):
        whose = "--label" if options.label else "--name, which is the label of its tasks too,"
        raise UsageProblem(
            f"{whose} is not a valid label",
            why=f"it has {len(label)} characters"
            if len(label) > LONGEST_LABEL
            else "it has line breaks, or spaces at an end",
            remedy=f"Give a --label of at most {LONGEST_LABEL} characters on one line, without spaces at its ends. "
            "Nothing was created.",
        )
    if options.recursive_symlinks not in (None, "ignore"):
        raise UsageProblem(
            f"--recursive-symlinks {options.recursive_symlinks} is not supported",
            why="transfer timers of the Timers service skip symlinks",
            remedy="`job submit` with the Transfer action provider still supports it. Nothing was created.",
        )
    from autotransfer.globus.documents import transfer_data  # the SDK: not for --help, nor where it is missing

    level = options.sync_level or settings.sync_level
    body = transfer_data(
        settings._replace(deadline_hours=0),  # a fixed deadline makes no sense in what recurs
        sync_level=level,
        label=label,
        now_ns=0,
        has_folders=any(item.is_recursive for item in options.items),
    )
    body.update(options.flags)
    body["source_endpoint"], body["destination_endpoint"] = options.source_id, options.destination_id
    for pattern in options.exclude:
        body.add_filter_rule(pattern)
    for item in options.items:
        body.add_item(item.source_path, item.destination_path, recursive=item.is_recursive)
    return {"timer_type": "transfer", "name": name, "schedule": schedule.document(), "body": body}


def generic_document(
    name: str, schedule: Schedule, *, scope: str, action_url: str, action_body: Any, now_ns: int
) -> dict[str, Any]:
    """A timer that calls an action provider, in the form of POST /jobs/.

    Raises:
        UsageProblem: The interval is missing, or the action's URL is not a URL.
    """
    if schedule.interval_seconds is None and schedule.stop_runs != 1:
        raise _no_interval()
    if not re.match(r"https?://[^/\s]", action_url):
        raise UsageProblem(f"--action-url {action_url!r} is not a URL", remedy="Nothing was created.")
    document = {
        "name": name,
        "start": iso_text(schedule.start_ns or now_ns),
        "interval": None if schedule.stop_runs == 1 else schedule.interval_seconds,
        "scope": scope,
        "callback_url": action_url,
        "callback_body": action_body,
    }
    stop_after = schedule.stop_after()
    return document if stop_after is None else {**document, "stop_after": stop_after}


def changes_document(name: str | None, schedule: Schedule) -> dict[str, Any]:
    """The changes to a timer in the form of PATCH /jobs/ID; what was not given stays as it is.

    Raises:
        UsageProblem: There are none.
    """
    changes: dict[str, Any] = {} if name is None else {"name": name}
    if schedule.interval_seconds is not None:
        changes["interval"] = schedule.interval_seconds
    stop_after = schedule.stop_after()
    if stop_after is not None:
        changes["stop_after"] = stop_after
    if not changes:
        raise UsageProblem("Nothing to change was given", remedy="Give --name, --interval or a stop condition.")
    return changes


def _no_interval() -> UsageProblem:
    remedy = "Give one such as 8h, or --stop-after-runs 1. Nothing was created."
    return UsageProblem("--interval is missing", remedy=remedy)


def sync_level_name(text: str) -> str:
    """The name of a sync level given by name or by number.

    Raises:
        UsageProblem: There is no such level.
    """
    numbers = {str(number): name for number, name in enumerate(SYNC_LEVELS)}
    name = numbers.get(text, text.lower())
    if name not in SYNC_LEVELS:
        known = ", ".join(f"{number} ({level})" for number, level in sorted(numbers.items()))
        raise UsageProblem(f"{text!r} is not a sync level", remedy=f"The sync levels are {known}.")
    return name
