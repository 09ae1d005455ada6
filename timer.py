"""Recurring transfers hosted by Globus Timers, for machines without cron or that are off half the day.

README.md says when cron is the better choice: a timer compares the whole tree each time, main.py sends only changes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import utils
from autotransfer import jobs
from autotransfer.errors import ExitStatus, SignInNeeded, TaskUnknown, UsageProblem
from autotransfer.intervals import interval_seconds
from autotransfer.items_file import TimerItem, read_items, yes_or_no
from autotransfer.times import NS_PER_SECOND, iso_text, parse_date_ns

if TYPE_CHECKING:
    from autotransfer.globus.login import Login
    from autotransfer.globus.timers import Timers
    from autotransfer.settings import Settings

EXAMPLES = """\
  python timer.py session login                          sign in, with the consents that timers need
  python timer.py job transfer --interval 8h             send SRC_DIR to DST_DIR every eight hours
  python timer.py job transfer --name weekly --interval 1w --start 2027-01-04T06:00 \\
      --item /data/run7/ /archive/run7/ true             one folder, from a Monday on
  python timer.py job list                               every timer, a line each
  python timer.py job status JOB_ID                      one timer, and what its last task came to
  python timer.py job update JOB_ID --interval 1d        change when it runs"""
Command = Callable[[argparse.Namespace, "Settings"], int]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = utils.parser("Recurring transfers that Globus itself runs, whether this machine is on or not.", EXAMPLES)
    groups = parser.add_subparsers(title="commands", metavar="{job,session}")
    job = groups.add_parser("job", help="make, show and change timers")
    _add_job_commands(job.add_subparsers(title="commands", metavar="COMMAND"))
    session = groups.add_parser("session", help="sign in and out")
    _add_session_commands(session.add_subparsers(title="commands", metavar="COMMAND"))
    for one in (parser, job, session):  # without a command each shows what there is
        one.set_defaults(show_help=one.print_help)
    return parser.parse_args()


def _add_job_commands(commands: Any) -> None:
    transfer = _command(commands, "transfer", job_transfer, "make a timer that transfers files")
    transfer.add_argument("--name", help="how you tell it from others (default: LABEL of the configuration)")
    _add_schedule(transfer)
    transfer.add_argument("--label", help="label of its transfer tasks (default: its name)")
    transfer.add_argument("--source-endpoint", metavar="ID", help="source collection (default: SRC_ID)")
    transfer.add_argument("--dest-endpoint", metavar="ID", help="destination collection (default: DST_ID)")
    items = transfer.add_mutually_exclusive_group()
    items.add_argument(
        *("-i", "--item"),
        nargs=3,
        action="append",
        metavar=("SRC", "DST", "RECURSIVE"),
        help="what to transfer, and true for a folder or false for a file; may be repeated "
        "(default: SRC_DIR to DST_DIR with all in it)",
    )
    items.add_argument("--items-file", metavar="CSV", help="lines such as `SRC, DST, true`; `-` for standard input")
    transfer.add_argument("--sync-level", metavar="LEVEL", help="0-3 or exists, size, mtime, checksum")
    for flag in ("encrypt-data", "verify-checksum", "preserve-timestamp", "skip-source-errors", "fail-on-quota-errors"):
        transfer.add_argument(
            f"--{flag}",
            action=argparse.BooleanOptionalAction,
            default=None,
            help=f"(default: {flag.upper().replace('-', '_')} of the configuration)",
        )
    transfer.add_argument("--recursive-symlinks", choices=("ignore", "keep", "copy"), help="what becomes of symlinks")
    transfer.add_argument("--exclude", metavar="PATTERN", action="append", default=[], help="names to leave out, too")
    transfer.add_argument("--notify", metavar="EVENTS", help="mails: on, off, or any of succeeded,failed,inactive")

    submit = _command(commands, "submit", job_submit, "make a timer that calls any action provider")
    submit.add_argument("--name", required=True)
    _add_schedule(submit)
    submit.add_argument("--scope", required=True, help="scope of the action provider")
    submit.add_argument("--action-url", required=True, metavar="URL", help="where the action is run")
    body = submit.add_mutually_exclusive_group(required=True)
    body.add_argument("--action-body", metavar="JSON", help="what is sent to it")
    body.add_argument("--action-file", metavar="FILE", help="a file that holds that")

    listing = _command(commands, "list", job_list, "show every timer, a line each")
    listing.add_argument("--show-deleted", action="store_true", help="also deleted ones, as far as Globus shows them")
    status = _command(commands, "status", job_status, "show timers, and what their last tasks came to")
    status.add_argument("job_ids", metavar="JOB_ID", nargs="*")
    status.add_argument("-a", "--all", action="store_true", help="every timer")
    status.add_argument("--show-deleted", action="store_true", help="also deleted ones, as far as Globus shows them")
    for name, act, words in (
        ("delete", job_delete, "take timers out of operation"),
        ("pause", job_pause, "keep timers from running until they are resumed"),
        ("resume", job_resume, "let timers run again"),
    ):
        command = _command(commands, name, act, words)
        command.add_argument("job_ids", metavar="JOB_ID", nargs="+")
        if name == "resume":
            command.add_argument(
                "--keep-credentials",
                action="store_true",
                help="let it go on with the login it was made with, not with today's",
            )
    update = _command(commands, "update", job_update, "change a timer")
    update.add_argument("job_ids", metavar="JOB_ID", nargs=1)
    update.add_argument("--name")
    _add_schedule(update, has_start=False)


def _add_session_commands(commands: Any) -> None:
    _command(commands, "login", session_login, "sign in, with the consents that timers need")
    whoami = _command(commands, "whoami", session_whoami, "show who is signed in")
    whoami.add_argument("--format", choices=("brief", "full", "json"), default="brief")
    _command(commands, "logout", session_logout, "forget the login on this machine; timers go on")
    _command(commands, "revoke", session_revoke, "make Globus refuse every token that was stored here")


def _command(commands: Any, name: str, act: Command, words: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=words, description=words.capitalize() + ".")
    made.set_defaults(act=act)
    made.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="the settings of another route")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("-v", "--verbose", action="store_true", help="add the last task's own document")
    return made


def _add_schedule(command: argparse.ArgumentParser, *, has_start: bool = True) -> None:
    command.add_argument("--interval", metavar="TIME", help="seconds, or with units: 90m, 1h30m, 7d, 1w")
    if has_start:
        command.add_argument("--start", metavar="DATE", help="first run, ISO 8601, local time (default: now)")
    command.add_argument("--stop-after-date", metavar="DATE", help="no run after this")
    command.add_argument("--stop-after-runs", metavar="N", type=int, help="no run after this many")


def main() -> int:
    """Do what was asked; gives the exit status."""
    chosen = arguments()
    if "act" not in chosen:
        chosen.show_help()
        return int(ExitStatus.DONE)
    settings = utils.load_settings(chosen.config)
    act: Command = chosen.act
    return act(chosen, settings)


def job_transfer(chosen: argparse.Namespace, settings: Settings) -> int:
    """Make a transfer timer."""
    schedule = _schedule(chosen)
    name = chosen.name or settings.label
    options = jobs.TransferOptions(
        source_id=chosen.source_endpoint or settings.src_id,
        destination_id=chosen.dest_endpoint or settings.dst_id,
        items=_items(chosen, settings),
        label=chosen.label or "",
        sync_level=None if chosen.sync_level is None else jobs.sync_level_name(chosen.sync_level),
        flags=_flags(chosen),
        exclude=chosen.exclude,
        recursive_symlinks=chosen.recursive_symlinks,
    )
    document = jobs.timer_document(settings, name, schedule, options)
    with _login(settings) as login:
        _want_consents(login, [options.source_id, options.destination_id])
        timer = _timers(login).create_transfer(document)
        _show(login, [timer], chosen)
    return int(ExitStatus.DONE)


def job_submit(chosen: argparse.Namespace, settings: Settings) -> int:
    """Make a timer of the service's first kind."""
    schedule = _schedule(chosen)
    if schedule.interval_seconds is None and schedule.stop_runs != 1:
        raise UsageProblem("--interval is missing", remedy="Give one such as 8h, or --stop-after-runs 1.")
    if not chosen.action_url.startswith(("https://", "http://")):
        raise UsageProblem(f"{chosen.action_url!r} is not a URL", remedy="Nothing was created.")
    if schedule.stop_runs is not None and schedule.stop_runs < 1:
        raise UsageProblem("--stop-after-runs must be at least 1", remedy="Leave it out to run without an end.")
    stop = {"date": schedule.stop_date_ns and iso_text(schedule.stop_date_ns), "n_runs": schedule.stop_runs}
    document = {
        "name": chosen.name,
        "start": iso_text(schedule.start_ns or time.time_ns()),
        "interval": None if schedule.stop_runs == 1 else schedule.interval_seconds,
        "scope": chosen.scope,
        "callback_url": chosen.action_url,
        "callback_body": _action_body(chosen),
    }
    if any(stop.values()):
        document["stop_after"] = stop
    with _login(settings) as login:
        _show(login, [_timers(login).create_generic(document)], chosen)
    return int(ExitStatus.DONE)


def job_list(chosen: argparse.Namespace, settings: Settings) -> int:
    """Show every timer, a line each."""
    with _login(settings) as login:
        found = _all(login, chosen)
        if chosen.json or chosen.verbose:
            _show(login, found, chosen)
            return int(ExitStatus.DONE)
        rows = [("Name", "Job ID", "Status", "Next Run", "Last Result")]
        for document in found:
            job = _with_outcome(login, document)
            rows.append((job.name, job.job_id, job.status, job.next_run, job.last_result))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        utils.say(" | ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[4]]))
    return int(ExitStatus.DONE)


def job_status(chosen: argparse.Namespace, settings: Settings) -> int:
    """Show some timers whole."""
    if bool(chosen.job_ids) == chosen.all:
        raise UsageProblem("Give JOB_IDs or --all, and not both", remedy="`timer.py job list` shows the ids.")
    with _login(settings) as login:
        timers = _timers(login)
        documents = _all(login, chosen) if chosen.all else []
        ids = [document["job_id"] for document in documents] if chosen.all else chosen.job_ids
        _show(login, [timers.get(job_id) for job_id in ids], chosen)
    return int(ExitStatus.DONE)


def job_delete(chosen: argparse.Namespace, settings: Settings) -> int:
    """Delete timers."""
    with _login(settings) as login:
        timers = _timers(login)
        for job_id in chosen.job_ids:
            _show(login, [timers.delete(job_id)], chosen)
    return int(ExitStatus.DONE)


def job_pause(chosen: argparse.Namespace, settings: Settings) -> int:
    """Pause timers."""
    with _login(settings) as login:
        timers = _timers(login)
        for job_id in chosen.job_ids:
            timers.pause(job_id)
            _show(login, [timers.get(job_id)], chosen)
    return int(ExitStatus.DONE)


def job_resume(chosen: argparse.Namespace, settings: Settings) -> int:
    """Let timers run again, by default with the login of today."""
    with _login(settings) as login:
        timers = _timers(login)
        for job_id in chosen.job_ids:
            document = timers.get(job_id)
            body = document.get("callback_body") or document.get("body") or {}
            ends = [body.get("source_endpoint"), body.get("destination_endpoint")]
            _want_consents(login, [end for end in ends if end])
            timers.resume(job_id, update_credentials=not chosen.keep_credentials)
            _show(login, [timers.get(job_id)], chosen)
    return int(ExitStatus.DONE)


def job_update(chosen: argparse.Namespace, settings: Settings) -> int:
    """Change a timer's name, interval or end."""
    changes: dict[str, Any] = {}
    if chosen.name is not None:
        changes["name"] = chosen.name
    if chosen.interval is not None:
        changes["interval"] = interval_seconds(chosen.interval)
    stop = _schedule(chosen)
    if stop.stop_date_ns is not None or stop.stop_runs is not None:
        changes["stop_after"] = {
            "date": stop.stop_date_ns and iso_text(stop.stop_date_ns),
            "n_runs": stop.stop_runs,
        }
    if not changes:
        raise UsageProblem("Nothing to change was given", remedy="Give --name, --interval or a stop condition.")
    with _login(settings) as login:
        _show(login, [_timers(login).update(chosen.job_ids[0], changes)], chosen)
    return int(ExitStatus.DONE)


def session_login(chosen: argparse.Namespace, settings: Settings) -> int:
    """Let a person sign in."""
    with _login(settings, ask=_ask_for_code, must_hold=False) as login:
        if login.is_service_account:
            utils.say("A service account is configured: it needs no sign-in.")
            return int(ExitStatus.DONE)
        if login.is_needed():
            login.sign_in()
        login.prove()
        if _want_consents(login, [settings.src_id, settings.dst_id], refuse=False):
            utils.say("A collection wants a consent of its own; sign in once more to give it.")
            login.sign_in()
        utils.say(f"Logged in as {login.identity()}.")
    return int(ExitStatus.DONE)


def session_whoami(chosen: argparse.Namespace, settings: Settings) -> int:
    """Show who is signed in."""
    with _login(settings) as login:
        who = login.who()
    if chosen.format == "json" or chosen.json:
        utils.say(json.dumps(who))
    elif chosen.format == "full":
        for title, value in who.items():
            utils.say(f"{title}: {value}")
    else:
        utils.say(who["preferred_username"])
    return int(ExitStatus.DONE)


def session_logout(chosen: argparse.Namespace, settings: Settings) -> int:
    """Forget the login."""
    with _login(settings, must_hold=False) as login:
        login.forget()
    utils.say("The login on this machine is forgotten, main.py's too. Timers go on; `job delete` ends one.")
    return int(ExitStatus.DONE)


def session_revoke(chosen: argparse.Namespace, settings: Settings) -> int:
    """Make Globus refuse what was stored here, then forget it."""
    with _login(settings, must_hold=False) as login:
        revoked = login.revoke()
        login.forget()
    utils.say(f"Globus now refuses the {revoked} refresh tokens that were stored here; main.py needs a new login too.")
    return int(ExitStatus.DONE)


def _login(settings: Settings, *, ask: Callable[[str], str] | None = None, must_hold: bool = True) -> Login:
    from autotransfer.globus.login import Login

    login = Login(settings, ask=ask, wants_timers=True, sign_in_command="timer.py session login")
    if must_hold:
        login.must_hold()
    return login


def _timers(login: Login) -> Timers:
    from autotransfer.globus.timers import Timers

    return Timers(login.timers)


def _want_consents(login: Login, collection_ids: list[str], *, refuse: bool = True) -> bool:
    """Make sure that a timer made now may reach the collections; gives whether a consent is missing."""
    from autotransfer.globus.collections import Collections

    collections = Collections(login.transfer)
    wanted = [one.id for one in map(collections.get, dict.fromkeys(collection_ids)) if one.wants_data_access]
    login.want_data_access(wanted)
    if not wanted or login.is_service_account:
        return False
    if refuse:
        login.must_hold()
    return login.is_needed()


def _all(login: Login, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    found = _timers(login).all(with_deleted=chosen.show_deleted)
    return [document for document in found if chosen.show_deleted or "delete" not in str(document.get("status"))]


def _show(login: Login, documents: list[dict[str, Any]], chosen: argparse.Namespace) -> None:
    if chosen.json:
        utils.say(json.dumps(documents if len(documents) != 1 else documents[0]))
        return
    for number, document in enumerate(documents):
        if number:
            utils.say("")
        job = _with_outcome(login, document)
        rows = job.rows()
        for title, value in rows:
            utils.say(f"{title + ':':<13} {value}")
        if chosen.verbose:
            task = _task(login, job.task_id)
            utils.say(json.dumps(document if task is None else task, indent=2))


def _with_outcome(login: Login, document: dict[str, Any]) -> jobs.Job:
    job = jobs.read_job(document)
    task = _task(login, job.task_id)
    return job if task is None else job.with_task(task)


def _task(login: Login, task_id: str) -> dict[str, Any] | None:
    from autotransfer.globus.tasks import Tasks

    if not task_id:
        return None
    try:
        return Tasks(login.transfer).get(task_id)
    except TaskUnknown:  # Globus keeps tasks for some months only
        return None


def _schedule(chosen: argparse.Namespace) -> jobs.Schedule:
    start = getattr(chosen, "start", None)
    return jobs.Schedule(
        interval_seconds=None if chosen.interval is None else interval_seconds(chosen.interval),
        start_ns=None if start is None else parse_date_ns(start),
        stop_date_ns=_future(chosen.stop_after_date),
        stop_runs=chosen.stop_after_runs,
    )


def _future(text: str | None) -> int | None:
    if text is None:
        return None
    moment_ns = parse_date_ns(text)
    if moment_ns <= time.time_ns() - NS_PER_SECOND:
        raise UsageProblem(f"--stop-after-date {text} has passed", remedy="Nothing was created or changed.")
    return moment_ns


def _items(chosen: argparse.Namespace, settings: Settings) -> list[TimerItem]:
    if chosen.item:
        return [TimerItem(source, target, yes_or_no(recursive)) for source, target, recursive in chosen.item]
    if chosen.items_file is None:
        return [TimerItem(f"{settings.src_path.rstrip('/')}/", f"{settings.dst_dir.rstrip('/')}/", True)]
    if chosen.items_file == "-":
        return read_items(sys.stdin or [], name="on standard input")
    try:
        with open(chosen.items_file, encoding="utf-8-sig") as lines:
            return read_items(lines, name=chosen.items_file)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(
            f"Cannot read the items file {chosen.items_file}",
            why=str(getattr(error, "strerror", None) or error).lower(),
            remedy="Nothing was created.",
        ) from None


def _flags(chosen: argparse.Namespace) -> dict[str, bool]:
    names = ("encrypt_data", "verify_checksum", "preserve_timestamp", "skip_source_errors", "fail_on_quota_errors")
    flags = {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}
    if chosen.notify is not None:
        events = ("succeeded", "failed", "inactive")
        wanted = {"on": events, "off": ()}.get(chosen.notify, tuple(chosen.notify.split(",")))
        if not set(wanted) <= set(events):
            raise UsageProblem(
                f"--notify {chosen.notify} is not understood", remedy=f"Give on, off, or any of {','.join(events)}."
            )
        flags.update({f"notify_on_{event}": event in wanted for event in events})
    return flags


def _action_body(chosen: argparse.Namespace) -> Any:
    text = chosen.action_body
    try:
        if text is None:
            with open(chosen.action_file, encoding="utf-8") as source:
                text = source.read()
        return json.loads(text)
    except OSError as error:
        raise UsageProblem(
            f"Cannot read {chosen.action_file}", why=(error.strerror or "").lower(), remedy="Nothing was created."
        ) from None
    except ValueError as error:
        raise UsageProblem("The action's body is not JSON", why=str(error), remedy="Nothing was created.") from None


def _ask_for_code(url: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise SignInNeeded(
            "Signing in needs a terminal", remedy="Run `timer.py session login` where a person can type."
        )
    utils.say(f"Open this link, sign in, and copy the code you are shown:\n\n{url}\n")
    try:
        return input("Code: ")
    except EOFError:
        raise UsageProblem("No code was given", remedy="Nothing was changed.") from None


if __name__ == "__main__":
    utils.run_script(main)
