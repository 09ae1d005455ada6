"""Reads the options of timer.py, and the files that they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autotransfer.common.errors import UsageProblem
from autotransfer.common.files import explained_as
from autotransfer.common.settings import Settings
from autotransfer.common.times import interval_seconds, parse_date_ns
from autotransfer.timers.documents import Schedule
from autotransfer.timers.items_file import TimerItem, read_items, yes_or_no

# An offset without a colon, which the earlier command line accepted and Python 3.9 does not.
BARE_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")
SWITCHES = ("encrypt_data", "verify_checksum", "preserve_timestamp", "skip_source_errors", "fail_on_quota_errors")
EVENTS = ("succeeded", "failed", "inactive")


def read_schedule(
    *, interval: str | None, start: str | None, stop_date: str | None, stop_runs: int | None, now_ns: int
) -> Schedule:
    """When the timer is to run; None for an option that was not given.

    Raises:
        UsageProblem: An option is not valid, or is in the past and must not be.
    """
    stop_date_ns = moment_ns("--stop-after-date", stop_date)
    if stop_date_ns is not None and stop_date_ns <= now_ns:
        raise UsageProblem(f"--stop-after-date {stop_date} has passed", remedy="Nothing was created or changed.")
    schedule = Schedule(
        interval_seconds=None if interval is None else interval_seconds(interval),
        start_ns=moment_ns("--start", start),
        stop_date_ns=stop_date_ns,
        stop_runs=stop_runs,
    )
    return schedule.from_now(now_ns)


def moment_ns(option: str, text: str | None) -> int | None:
    """The moment that an option names; None when it was not given.

    Raises:
        UsageProblem: It is not a time.
    """
    if text is None:
        return None
    try:
        return parse_date_ns(BARE_OFFSET.sub(r"\1:\2", text) if ":" in text else text)
    except UsageProblem:
        raise UsageProblem(
            f"{option} {text!r} is not a time",
            remedy="Write it like 2027-01-04, 2027-01-04T06:00 (local time) or 2027-01-04T06:00+01:00. Nothing was "
            "created or changed.",
        ) from None


def chosen_items(
    given: Sequence[Sequence[str]] | None, items_file: str | None, standard_input: Iterable[str], settings: Settings
) -> list[TimerItem]:
    """What the timer is to transfer: the items given one by one, those of a file, or the whole route.

    Args:
        given: Source, destination and "true" or "false" of each.
        items_file: A file's name, "-" for standard input, or None.

    Raises:
        UsageProblem: An item is not valid, there is none, or the file cannot be read.
    """
    if given:
        items = [TimerItem(source, target, yes_or_no(recursive)) for source, target, recursive in given]
        if not all(item.source_path and item.destination_path for item in items):
            raise UsageProblem("A path of an --item is empty", remedy="Nothing was created.")
        return items
    if items_file is None:
        return [TimerItem(f"{settings.src_path.rstrip('/')}/", f"{settings.dst_dir.rstrip('/')}/", True)]
    if items_file == "-":
        return read_items(standard_input, name="on standard input")
    what, errors = f"Cannot read the items file {items_file}", (OSError, UnicodeDecodeError)
    refused = explained_as(UsageProblem, what, remedy="Nothing was created.", errors=errors)
    with refused, open(items_file, encoding="utf-8-sig") as lines:
        return read_items(lines, name=items_file)


def given_flags(switches: Mapping[str, bool | None], notify: str | None) -> dict[str, bool]:
    """The fields of a transfer document that the switches and --notify set; not those that were not given.

    Raises:
        UsageProblem: --notify names an unknown event.
    """
    flags = {name: value for name, value in switches.items() if value is not None}
    if notify is not None:
        wanted = {"on": EVENTS, "off": ()}.get(notify, tuple(notify.split(",")))
        if not set(wanted) <= set(EVENTS):
            raise UsageProblem(f"--notify {notify} is not valid", remedy=f"Give on, off, or any of {','.join(EVENTS)}.")
        flags.update({f"notify_on_{event}": event in wanted for event in EVENTS})
    return flags


def action_body(text: str | None, action_file: str | None) -> Any:
    """The JSON for an action provider, given as text or in a file.

    Raises:
        UsageProblem: It cannot be read, or is not JSON.
    """
    try:
        if text is None:
            refused = explained_as(UsageProblem, f"Cannot read {action_file}", remedy="Nothing was created.")
            with refused, open(str(action_file), encoding="utf-8") as source:
                text = source.read()
        return json.loads(text)
    except ValueError as error:
        raise UsageProblem("The action's body is not JSON", why=str(error), remedy="Nothing was created.") from None
