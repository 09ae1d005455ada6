"""Recurring transfers that Globus Timers starts, for machines that have no cron or are often off.

docs/timers.md says when cron is the better choice: a timer compares both trees each time, main.py sends only changes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import autotransfer  # noqa: F401 - first: what it does is for all modules after it
import utils
from autotransfer.common.errors import ExitStatus, UsageProblem
from autotransfer.common.service import TIMER, remark, service
from autotransfer.common.times import local_text
from autotransfer.timers import describe, documents, options

if TYPE_CHECKING:
    from autotransfer.common.settings import Settings
    from autotransfer.timers.service import TimerService

EXAMPLES = """\
  python timer.py session login                          sign in, with the consents that timers need
  python timer.py job transfer --interval 8h             send SRC_DIR to DST_DIR every eight hours
  python timer.py job transfer --name weekly --interval 1w --start 2027-01-04T06:00 \\
      --item /data/run7/ /archive/run7/ true             one folder, from a Monday on
  python timer.py job list                               every timer, a line each
  python timer.py job status JOB_ID                      one timer, and the result of its last task
  python timer.py job update JOB_ID --interval 1d        change when it runs"""
Command = Callable[[argparse.Namespace, "Settings"], int]
NEW_EACH_TIME = " Each call makes a new timer, even under a name that is in use."


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
    transfer = _command(commands, "transfer", job_transfer, "make a timer that transfers files", NEW_EACH_TIME)
    transfer.add_argument("--name", help="a name that identifies it (default: LABEL of the configuration)")
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
        "(default: all of SRC_DIR to DST_DIR)",
    )
    items.add_argument("--items-file", metavar="CSV", help="lines such as `SRC, DST, true`; `-` for standard input")
    transfer.add_argument("--sync-level", metavar="LEVEL", help="0-3 or exists, size, mtime, checksum")
    for switch in options.SWITCHES:
        transfer.add_argument(
            f"--{switch.replace('_', '-')}",
            action=argparse.BooleanOptionalAction,
            default=None,
            help=f"(default: {switch.upper()} of the configuration)",
        )
    transfer.add_argument("--recursive-symlinks", choices=("ignore", "keep", "copy"), help="how symlinks are handled")
    transfer.add_argument("--exclude", metavar="PATTERN", action="append", default=[], help="more names to skip")
    transfer.add_argument(
        "--notify", metavar="EVENTS", help="e-mail from Globus: on, off, or any of succeeded,failed,inactive"
    )

    submit = _command(commands, "submit", job_submit, "make a timer that calls an action provider", NEW_EACH_TIME)
    submit.add_argument("--name", required=True)
    _add_schedule(submit)
    submit.add_argument("--scope", required=True, help="scope of the action provider")
    submit.add_argument("--action-url", required=True, metavar="URL", help="where the action is run")
    body = submit.add_mutually_exclusive_group(required=True)
    body.add_argument("--action-body", metavar="JSON", help="the JSON that is sent to it")
    body.add_argument("--action-file", metavar="FILE", help="a file that holds this JSON")

    listing = _command(commands, "list", job_list, "list all timers, one per line")
    listing.add_argument(
        "--show-deleted", action="store_true", help="include deleted ones, as far as Globus shows them"
    )
    status = _command(commands, "status", job_status, "show timers, and the results of their last tasks")
    status.add_argument("job_ids", metavar="JOB_ID", nargs="*")
    status.add_argument("-a", "--all", action="store_true", help="every timer")
    status.add_argument("--show-deleted", action="store_true", help="include deleted ones, as far as Globus shows them")
    for name, act, words in (
        ("delete", job_delete, "delete timers for good"),
        ("pause", job_pause, "suspend timers until they are resumed"),
        ("resume", job_resume, "resume timers"),
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
    login = _command(commands, "login", session_login, "sign in, with the consents that timers need")
    login.add_argument(
        "--collection",
        metavar="ID",
        action="append",
        default=[],
        help="another collection that timers must reach, besides SRC_ID and DST_ID; may be repeated",
    )
    login.add_argument(
        "--job",
        metavar="JOB_ID",
        action="append",
        default=[],
        help="a stopped timer: also sign in for what it asks for; may be repeated",
    )
    whoami = _command(commands, "whoami", session_whoami, "show who is signed in")
    whoami.add_argument("--format", choices=("brief", "full", "json"), default="brief")
    _command(commands, "logout", session_logout, "delete the login on this machine; timers continue")
    _command(commands, "revoke", session_revoke, "revoke the stored login at Globus, and delete it")


def _command(commands: Any, name: str, act: Command, words: str, more: str = "") -> argparse.ArgumentParser:
    description = f"{words.capitalize()}.{more}"
    made: argparse.ArgumentParser = commands.add_parser(name, help=words, description=description)
    made.set_defaults(act=act)
    made.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="the settings of another route")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("-v", "--verbose", action="store_true", help="also print the last task as Globus returns it")
    return made


def _add_schedule(command: argparse.ArgumentParser, *, has_start: bool = True) -> None:
    command.add_argument("--interval", metavar="TIME", help="seconds, or with units: 90m, 1h30m, 7d, 1w")
    if has_start:
        command.add_argument("--start", metavar="DATE", help="first run, ISO 8601, local time (default: now)")
    instead = "" if has_start else "; replaces the previous end"
    command.add_argument("--stop-after-date", metavar="DATE", help=f"no run after this time{instead}")
    command.add_argument("--stop-after-runs", metavar="N", type=int, help=f"stop after this many runs{instead}")


def main() -> int:
    """Do what was asked. Returns the exit status."""
    chosen = arguments()
    if "act" not in chosen:
        chosen.show_help()
        return int(ExitStatus.DONE)
    settings = utils.load_settings(chosen.config)
    if said := remark(service(os.environ, TIMER).name):
        utils.warn(f"timer.py: {said}")
    return int(chosen.act(chosen, settings))


# ---- jobs --------------------------------------------------------------------------------------------------------


def job_transfer(chosen: argparse.Namespace, settings: Settings) -> int:
    """Make a transfer timer."""
    schedule = _schedule(chosen)
    switches = {name: getattr(chosen, name) for name in options.SWITCHES}
    wanted = documents.TransferOptions(
        source_id=chosen.source_endpoint or settings.src_id,
        destination_id=chosen.dest_endpoint or settings.dst_id,
        items=options.chosen_items(chosen.item, chosen.items_file, sys.stdin or [], settings),
        label=chosen.label or "",
        sync_level=None if chosen.sync_level is None else documents.sync_level_name(chosen.sync_level),
        flags=options.given_flags(switches, chosen.notify),
        exclude=chosen.exclude,
        recursive_symlinks=chosen.recursive_symlinks,
    )
    document = documents.timer_document(settings, chosen.name or settings.label, schedule, wanted)
    with _hosting(chosen, settings) as hosting:
        hosting.must_reach([wanted.source_id, wanted.destination_id], effect="Nothing was created.")
        timer = hosting.timers.create_transfer(document)
        _report_moved_start(chosen, schedule)
        _show(hosting, [timer], chosen)
    return int(ExitStatus.DONE)


def job_submit(chosen: argparse.Namespace, settings: Settings) -> int:
    """Make a timer that calls an action provider."""
    schedule = _schedule(chosen)
    document = documents.generic_document(
        chosen.name,
        schedule,
        scope=chosen.scope,
        action_url=chosen.action_url,
        action_body=options.action_body(chosen.action_body, chosen.action_file),
        now_ns=time.time_ns(),
    )
    with _hosting(chosen, settings) as hosting:
        if "/transfer/" in chosen.action_url:  # other actions may mean other things by the same names
            hosting.must_reach(describe.collection_ids(document), effect="Nothing was created.")
        timer = hosting.timers.create_generic(document)
        _report_moved_start(chosen, schedule)
        _show(hosting, [timer], chosen)
    return int(ExitStatus.DONE)


def job_list(chosen: argparse.Namespace, settings: Settings) -> int:
    """List all timers, one per line."""
    with _hosting(chosen, settings) as hosting:
        found = hosting.all(with_deleted=chosen.show_deleted)
        if chosen.json or chosen.verbose or not found:
            _show(hosting, found, chosen)
            return int(ExitStatus.DONE)
        for line in describe.overview([hosting.with_task(document).job for document in found]):
            utils.say(line)
    return int(ExitStatus.DONE)


def job_status(chosen: argparse.Namespace, settings: Settings) -> int:
    """Show some timers in full. Returns 3 when one of them needs a person."""
    if bool(chosen.job_ids) == chosen.all:
        raise UsageProblem("Give JOB_IDs or --all, and not both", remedy="`timer.py job list` shows the ids.")
    if not chosen.all:
        return _each(chosen, settings, lambda hosting, job_id: hosting.timers.get(job_id))
    with _hosting(chosen, settings) as hosting:
        is_troubled = _show(hosting, hosting.all(with_deleted=chosen.show_deleted), chosen)
    return int(ExitStatus.PARTIAL if is_troubled else ExitStatus.DONE)


def job_delete(chosen: argparse.Namespace, settings: Settings) -> int:
    """Delete timers, and show their last state."""
    return _each(chosen, settings, lambda hosting, job_id: hosting.timers.delete(job_id))


def job_pause(chosen: argparse.Namespace, settings: Settings) -> int:
    """Pause timers."""
    return _each(chosen, settings, lambda hosting, job_id: hosting.pause(job_id))


def job_resume(chosen: argparse.Namespace, settings: Settings) -> int:
    """Resume timers, by default with the login that is stored now."""
    is_renewed = not chosen.keep_credentials
    return _each(chosen, settings, lambda hosting, job_id: hosting.resume(job_id, update_credentials=is_renewed))


def job_update(chosen: argparse.Namespace, settings: Settings) -> int:
    """Change a timer's name, interval or end."""
    (job_id,) = chosen.job_ids
    changes = documents.changes_document(chosen.name, _schedule(chosen))
    with _hosting(chosen, settings) as hosting:
        _show(hosting, [hosting.update(job_id, changes)], chosen)
    return int(ExitStatus.DONE)


# ---- the session -------------------------------------------------------------------------------------------------


def session_login(chosen: argparse.Namespace, settings: Settings) -> int:
    """Sign a person in, as few times as possible."""
    with _hosting(chosen, settings, ask=utils.ask_for_code, must_hold=False) as hosting:
        if hosting.login.is_service_account:
            hosting.login.prove()
            _report(
                chosen, {"identity": hosting.login.identity()}, "A service account is configured: it needs no sign-in."
            )
            return int(ExitStatus.DONE)
        again = "A collection needs one more consent: please sign in once more."
        hosting.sign_in(chosen.collection, chosen.job, on_second=lambda: utils.warn(again))
        identity = hosting.login.identity()
    _report(chosen, {"identity": identity}, f"Logged in as {identity}.")
    return int(ExitStatus.DONE)


def session_whoami(chosen: argparse.Namespace, settings: Settings) -> int:
    """Show who is signed in."""
    with _hosting(chosen, settings) as hosting:
        who = hosting.login.who()
    if chosen.format == "json" or chosen.json:
        utils.say(json.dumps(who))
    elif chosen.format == "full" or chosen.verbose:
        for title, value in who.items():
            utils.say(f"{title}: {value}")
    else:
        utils.say(who["preferred_username"])
    return int(ExitStatus.DONE)


def session_logout(chosen: argparse.Namespace, settings: Settings) -> int:
    """Delete the login on this machine."""
    with _hosting(chosen, settings, must_hold=False) as hosting:
        was_there = hosting.forget_login()
    words = (
        "The login on this machine was deleted, for main.py too. Globus still accepts it: `session revoke` ends that. "
        "Timers continue; `job delete` ends one."
        if was_there
        else "No login was stored here; there was nothing to delete."
    )
    _report(chosen, {"forgotten": was_there}, words)
    return int(ExitStatus.DONE)


def session_revoke(chosen: argparse.Namespace, settings: Settings) -> int:
    """Make Globus refuse the stored login, then delete it."""
    with _hosting(chosen, settings, must_hold=False) as hosting:
        revoked = hosting.revoke_login()
    _report(
        chosen,
        {"revoked": revoked},
        f"Globus now refuses the {revoked} refresh tokens that were stored here; main.py needs a new login too. Timers "
        "may continue: `job delete` ends one, and https://auth.globus.org/v2/web/consents ends all.",
    )
    return int(ExitStatus.DONE)


# ---- what the commands share -------------------------------------------------------------------------------------


def _hosting(
    chosen: argparse.Namespace, settings: Settings, *, ask: Callable[[str], str] | None = None, must_hold: bool = True
) -> TimerService:
    from autotransfer.timers.service import TimerService

    command = f"timer.py --config {shlex.quote(chosen.config)}" if chosen.config else "timer.py"
    return TimerService(settings, command=command, ask=ask, must_hold=must_hold)


def _schedule(chosen: argparse.Namespace) -> documents.Schedule:
    return options.read_schedule(
        interval=chosen.interval,
        start=getattr(chosen, "start", None),
        stop_date=chosen.stop_after_date,
        stop_runs=chosen.stop_after_runs,
        now_ns=time.time_ns(),
    )


def _report_moved_start(chosen: argparse.Namespace, schedule: documents.Schedule) -> None:
    asked_ns = options.moment_ns("--start", chosen.start)
    if schedule.start_ns is not None and schedule.start_ns != asked_ns:
        utils.warn(f"timer.py: --start has passed; the first run is at its next tick, {local_text(schedule.start_ns)}.")


def _each(chosen: argparse.Namespace, settings: Settings, act: Callable[[TimerService, str], dict[str, Any]]) -> int:
    """Do one thing to each timer, report every problem, and show the other timers. Returns the exit status."""
    with _hosting(chosen, settings) as hosting:
        done, problems = hosting.each(chosen.job_ids, act)
        is_troubled = _show(hosting, done, chosen) if done else False
    for problem in problems if done else problems[:-1]:
        utils.end(problem)
    if problems and not done:
        raise problems[-1]
    is_partial = bool(problems) or (is_troubled and chosen.act is job_status)
    return int(ExitStatus.PARTIAL if is_partial else ExitStatus.DONE)


def _show(hosting: TimerService, timers: list[dict[str, Any]], chosen: argparse.Namespace) -> bool:
    """Show timers in full. Returns whether one of them needs a person.

    In JSON, a timer is the service's own document with its last task's. Commands that take several timers print an
    array, even for one.
    """
    shown = [hosting.with_task(document, is_deleted=chosen.act is job_delete) for document in timers]
    is_troubled = any(job.is_troubled for _, job, _ in shown)
    if chosen.json:
        found = [{**document, "last_task": task} for document, _, task in shown]
        utils.say(json.dumps(found[0] if chosen.act in (job_transfer, job_submit, job_update) else found))
        return is_troubled
    if not shown:
        utils.say("There are no timers. `timer.py job transfer --interval 8h` makes one.")
    for number, (_, job, task) in enumerate(shown):
        if number:
            utils.say("")
        for title, value in job.rows():
            utils.say(f"{title + ':':<12} {value}")
        if chosen.verbose and task is not None:
            utils.say(json.dumps(task, indent=2, ensure_ascii=False))
    return is_troubled


def _report(chosen: argparse.Namespace, document: dict[str, Any], words: str) -> None:
    utils.say(json.dumps(document) if chosen.json else words)


if __name__ == "__main__":
    utils.run_script(main)
