"""Recurring transfers hosted by Globus Timers, for machines without cron or that are off half the day.

README.md says when cron is the better choice: a timer compares the whole tree each time, main.py sends only changes.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import utils
from autotransfer import jobs
from autotransfer.errors import (
    ConfigurationProblem,
    ExitStatus,
    GlobusProblem,
    Problem,
    SignInNeeded,
    Unreachable,
    UsageProblem,
)
from autotransfer.intervals import interval_seconds
from autotransfer.items_file import TimerItem, read_items, yes_or_no
from autotransfer.times import iso_text, local_text, parse_date_ns

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
# An offset as the former command line took it, and as Python 3.9 does not.
BARE_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = utils.parser("Recurring transfers that Globus itself runs, whether this machine is on or not.", EXAMPLES)
    parser.add_argument("--version", action="version", version=_version())
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
    transfer.add_argument(
        "--notify", metavar="EVENTS", help="Globus's mails: on, off, or any of succeeded,failed,inactive"
    )

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
        ("delete", job_delete, "take timers out of operation for good"),
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
    login = _command(commands, "login", session_login, "sign in, with the consents that timers need")
    login.add_argument(
        "--collection",
        metavar="ID",
        action="append",
        default=[],
        help="another collection that timers shall reach, beside SRC_ID and DST_ID; may be repeated",
    )
    login.add_argument(
        "--job",
        metavar="JOB_ID",
        action="append",
        default=[],
        help="a timer that stands still: also give what it asks for; may be repeated",
    )
    whoami = _command(commands, "whoami", session_whoami, "show who is signed in")
    whoami.add_argument("--format", choices=("brief", "full", "json"), default="brief")
    _command(commands, "logout", session_logout, "forget the login on this machine; timers go on")
    _command(commands, "revoke", session_revoke, "make Globus refuse the stored login, and forget it")


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
    instead = "" if has_start else "; in place of the end it had"
    command.add_argument("--stop-after-date", metavar="DATE", help=f"no run after this{instead}")
    command.add_argument("--stop-after-runs", metavar="N", type=int, help=f"no run after this many{instead}")


def main() -> int:
    """Do what was asked; gives the exit status."""
    chosen = arguments()
    if "act" not in chosen:
        chosen.show_help()
        return int(ExitStatus.DONE)
    settings = utils.load_settings(chosen.config)
    act: Command = chosen.act
    return act(chosen, settings)


# ---- jobs --------------------------------------------------------------------------------------------------------


def job_transfer(chosen: argparse.Namespace, settings: Settings) -> int:
    """Make a transfer timer."""
    schedule = _schedule(chosen)
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
    document = jobs.timer_document(settings, chosen.name or settings.label, schedule, options)
    with _login(chosen, settings) as login:
        _must_reach(login, settings, [options.source_id, options.destination_id], chosen, effect="Nothing was created.")
        timer = _timers(login, chosen).create_transfer(document)
        _tell_moved_start(chosen, schedule)
        _show(login, [timer], chosen)
    return int(ExitStatus.DONE)


def job_submit(chosen: argparse.Namespace, settings: Settings) -> int:
    """Make a timer of the service's first kind."""
    schedule = _schedule(chosen)
    if schedule.interval_seconds is None and schedule.stop_runs != 1:
        raise UsageProblem(
            "--interval is missing", remedy="Give one such as 8h, or --stop-after-runs 1. Nothing was created."
        )
    if not re.match(r"https?://[^/\s]", chosen.action_url):
        raise UsageProblem(f"--action-url {chosen.action_url!r} is not a URL", remedy="Nothing was created.")
    stop_after = schedule.stop_after()
    document = {
        "name": chosen.name,
        "start": iso_text(schedule.start_ns or time.time_ns()),
        "interval": None if schedule.stop_runs == 1 else schedule.interval_seconds,
        "scope": chosen.scope,
        "callback_url": chosen.action_url,
        "callback_body": _action_body(chosen),
    }
    if stop_after is not None:
        document["stop_after"] = stop_after
    with _login(chosen, settings) as login:
        if "/transfer/" in chosen.action_url:  # other actions may mean other things by the same names
            _must_reach(login, settings, jobs.collection_ids(document), chosen, effect="Nothing was created.")
        timer = _timers(login, chosen).create_generic(document)
        _tell_moved_start(chosen, schedule)
        _show(login, [timer], chosen)
    return int(ExitStatus.DONE)


def job_list(chosen: argparse.Namespace, settings: Settings) -> int:
    """Show every timer, a line each."""
    with _login(chosen, settings) as login:
        found = _all(login, chosen)
        if chosen.json or chosen.verbose or not found:
            _show(login, found, chosen)
            return int(ExitStatus.DONE)
        rows: list[tuple[str, ...]] = [("Name", "Job ID", "Status", "Next Run", "Last Result")]
        for document in found:
            job, _ = _with_task(login, document, chosen)
            rows.append((job.name, job.job_id, job.status, job.next_run, job.last_result))
    for line in jobs.table(rows):
        utils.say(line)
    return int(ExitStatus.DONE)


def job_status(chosen: argparse.Namespace, settings: Settings) -> int:
    """Show some timers whole; the exit status tells when a person should look."""
    if bool(chosen.job_ids) == chosen.all:
        raise UsageProblem("Give JOB_IDs or --all, and not both", remedy="`timer.py job list` shows the ids.")
    if not chosen.all:
        return _each(chosen, settings, lambda login, job_id: _timers(login, chosen).get(job_id))
    with _login(chosen, settings) as login:
        is_troubled = _show(login, _all(login, chosen), chosen)
    return int(ExitStatus.PARTIAL if is_troubled else ExitStatus.DONE)


def job_delete(chosen: argparse.Namespace, settings: Settings) -> int:
    """Delete timers, and show their last state."""
    return _each(chosen, settings, lambda login, job_id: _timers(login, chosen).delete(job_id))


def job_pause(chosen: argparse.Namespace, settings: Settings) -> int:
    """Pause timers."""

    def pause(login: Login, job_id: str) -> dict[str, Any]:
        timers = _timers(login, chosen)
        timers.pause(job_id)
        return timers.get(job_id)

    return _each(chosen, settings, pause)


def job_resume(chosen: argparse.Namespace, settings: Settings) -> int:
    """Let timers run again, by default with the login of today."""

    def resume(login: Login, job_id: str) -> dict[str, Any]:
        timers = _timers(login, chosen)
        if not chosen.keep_credentials:
            ends = jobs.collection_ids(timers.get(job_id))
            _must_reach(login, settings, ends, chosen, effect=f"The timer {job_id} is as it was.")
        timers.resume(job_id, update_credentials=not chosen.keep_credentials)
        return timers.get(job_id)

    return _each(chosen, settings, resume)


def job_update(chosen: argparse.Namespace, settings: Settings) -> int:
    """Change a timer's name, interval or end."""
    (job_id,) = chosen.job_ids
    changes: dict[str, Any] = {} if chosen.name is None else {"name": chosen.name}
    schedule = _schedule(chosen)
    if schedule.interval_seconds is not None:
        changes["interval"] = schedule.interval_seconds
    stop_after = schedule.stop_after()
    if stop_after is not None:
        changes["stop_after"] = stop_after
    if not changes:
        raise UsageProblem("Nothing to change was given", remedy="Give --name, --interval or a stop condition.")
    with _login(chosen, settings) as login:
        document = _timers(login, chosen).update(job_id, changes)
        left = jobs.unchanged(document, changes)
        if left:
            done = [name for name in changes if name not in left]
            raise GlobusProblem(
                f"Globus left the {' and the '.join(left).replace('_', ' ')} of the timer {job_id} as it was",
                why="the service accepted the request and answered with the old value",
                remedy=f"{'The ' + ' and the '.join(done) + ' changed. ' if done else ''}Make a new timer with "
                "`job transfer`, then delete this one.",
            )
        _show(login, [document], chosen)
    return int(ExitStatus.DONE)


# ---- the session -------------------------------------------------------------------------------------------------


def session_login(chosen: argparse.Namespace, settings: Settings) -> int:
    """Let a person sign in, as few times as possible.

    What the collections want can only be asked with a login: one made by test_config.py, or before, spares a second
    sign-in.
    """
    with _login(chosen, settings, ask=_ask_for_code, must_hold=False) as login:
        if login.is_service_account:
            login.prove()
            _tell(chosen, {"identity": login.identity()}, "A service account is configured: it needs no sign-in.")
            return int(ExitStatus.DONE)
        try:
            demand, is_known = _learn_wishes(login, settings, chosen), True
        except SignInNeeded:
            demand, is_known = None, False
        is_needed, refused = (True, None) if demand else _needs_sign_in(login)
        if is_needed:
            login.sign_in(refused=refused, demand=demand)
        if not is_known:
            demand = _learn_wishes(login, settings, chosen)
            if demand or login.is_needed():
                utils.warn("A collection wants more than that: sign in once more to give it.")
                login.sign_in(demand=demand)
        login.prove()
        identity = login.identity()
    _tell(chosen, {"identity": identity}, f"Logged in as {identity}.")
    return int(ExitStatus.DONE)


def session_whoami(chosen: argparse.Namespace, settings: Settings) -> int:
    """Show who is signed in."""
    with _login(chosen, settings) as login:
        who = login.who()
    if chosen.format == "json" or chosen.json:
        utils.say(json.dumps(who))
    elif chosen.format == "full" or chosen.verbose:
        for title, value in who.items():
            utils.say(f"{title}: {value}")
    else:
        utils.say(who["preferred_username"])
    return int(ExitStatus.DONE)


def session_logout(chosen: argparse.Namespace, settings: Settings) -> int:
    """Forget the login."""
    with _login(chosen, settings, must_hold=False) as login:
        _refuse_service_account(login)
        was_there = login.forget()
    words = (
        "The login on this machine is forgotten, main.py's too. Globus still honours it: `session revoke` ends it. "
        "Timers go on; `job delete` ends one."
        if was_there
        else "No login was stored here; there was nothing to forget."
    )
    _tell(chosen, {"forgotten": was_there}, words)
    return int(ExitStatus.DONE)


def session_revoke(chosen: argparse.Namespace, settings: Settings) -> int:
    """Make Globus refuse what was stored here, then forget it."""
    with _login(chosen, settings, must_hold=False) as login:
        _refuse_service_account(login)
        revoked = login.revoke()
        login.forget()
    _tell(
        chosen,
        {"revoked": revoked},
        f"Globus now refuses the {revoked} refresh tokens that were stored here; main.py needs a new login too. Timers "
        "may go on: `job delete` ends one, and https://auth.globus.org/v2/web/consents ends all.",
    )
    return int(ExitStatus.DONE)


def _refuse_service_account(login: Login) -> None:
    if login.is_service_account:
        raise UsageProblem(
            "A service account is configured: no login is stored here",
            remedy="To end it, delete its secret on the developers' page of Globus. Nothing was changed.",
        )


def _learn_wishes(login: Login, settings: Settings, chosen: argparse.Namespace) -> dict[str, Any] | None:
    """Have the login hold the consents that the collections want; gives what timers ask of the session, if anything."""
    ids, demand = [settings.src_id, settings.dst_id, *chosen.collection], None
    for job_id in chosen.job:
        document = _timers(login, chosen).get(job_id)
        ids += jobs.collection_ids(document)
        demand = jobs.session_demand(document) or demand
    _want_consents(login, settings, ids)
    return demand


def _needs_sign_in(login: Login) -> tuple[bool, SignInNeeded | None]:
    """Whether a person must sign in, and what Globus refused, if it did."""
    try:
        if login.is_needed():
            return True, None
        login.prove()
    except SignInNeeded as refused:
        return True, refused
    return False, None


def _ask_for_code(url: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise SignInNeeded(
            "Signing in needs a terminal", remedy="Run `timer.py session login` where a person can type."
        )
    utils.warn(f"Open this link, sign in, and copy the code you are shown:\n\n{url}\n")
    print("Code: ", end="", file=sys.stderr, flush=True)
    code = sys.stdin.readline().strip()
    if not code:
        raise SignInNeeded("No code was given", remedy="Nothing was changed; do it again when you have one.")
    return code


# ---- what the commands share -------------------------------------------------------------------------------------


def _login(
    chosen: argparse.Namespace, settings: Settings, *, ask: Callable[[str], str] | None = None, must_hold: bool = True
) -> Login:
    from autotransfer.globus.login import Login

    login = Login(settings, ask=ask, wants_timers=True, sign_in_command=f"{_command_line(chosen)} session login")
    if must_hold:
        login.must_hold()
    return login


def _command_line(chosen: argparse.Namespace) -> str:
    """How a person calls this script again with the same configuration."""
    return f"timer.py --config {shlex.quote(chosen.config)}" if chosen.config else "timer.py"


def _timers(login: Login, chosen: argparse.Namespace) -> Timers:
    from autotransfer.globus.timers import Timers

    return Timers(login.timers, sign_in=f"{_command_line(chosen)} session login")


def _want_consents(login: Login, settings: Settings, collection_ids: list[str]) -> list[str]:
    """Have the login hold the consents that timers with these collections need; gives those that want one."""
    from autotransfer.globus.collections import Collections, not_ready

    collections, found = Collections(login.transfer), []
    for collection_id in dict.fromkeys(collection_ids):
        try:
            collection = collections.get(collection_id)
        except ConfigurationProblem as problem:
            if collection_id in (settings.src_id, settings.dst_id):
                raise
            raise UsageProblem(
                f"{collection_id} is not a collection", why=problem.why, remedy="Nothing was created or changed."
            ) from problem
        unusable = None if collection.is_functional else not_ready(collection)
        if unusable is not None:
            raise unusable
        found.append(collection)
    wanted = [collection.id for collection in found if collection.wants_data_access]
    login.want_data_access(wanted)
    return wanted


def _must_reach(
    login: Login, settings: Settings, collection_ids: list[str], chosen: argparse.Namespace, *, effect: str
) -> None:
    """Make sure that a timer with these collections may act for who is signed in."""
    wanted = _want_consents(login, settings, collection_ids)
    if wanted and not login.is_service_account and login.is_needed():
        login_command = " ".join([f"{_command_line(chosen)} session login", *(f"--collection {id_}" for id_ in wanted)])
        raise SignInNeeded(
            "A collection of the timer wants a consent that was not given yet",
            remedy=f"Run `{login_command}` in a terminal once: it asks for it. {effect}",
        )


def _each(chosen: argparse.Namespace, settings: Settings, act: Callable[[Login, str], dict[str, Any]]) -> int:
    """Do one thing to each timer, tell every problem, and show what came of the others; gives the exit status."""
    documents, problems = [], []
    with _login(chosen, settings) as login:
        for job_id in dict.fromkeys(chosen.job_ids):
            try:
                documents.append(act(login, job_id))
            except Unreachable:
                raise
            except Problem as refused:
                problems.append(refused)
        is_troubled = _show(login, documents, chosen) if documents else False
    if problems and not documents:
        for problem in problems[:-1]:
            utils.end(problem)
        raise problems[-1]
    for problem in problems:
        utils.end(problem)
    is_partial = bool(problems) or (is_troubled and chosen.act is job_status)
    return int(ExitStatus.PARTIAL if is_partial else ExitStatus.DONE)


def _all(login: Login, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    found = _timers(login, chosen).all(with_deleted=chosen.show_deleted)
    return [document for document in found if chosen.show_deleted or "delete" not in str(document.get("status"))]


def _show(login: Login, documents: list[dict[str, Any]], chosen: argparse.Namespace) -> bool:
    """Show timers whole; gives whether a person should look at one of them.

    In JSON, a timer is the service's own document and its last task's; a command that takes several timers gives an
    array, whatever their number.
    """
    shown = [(document, *_with_task(login, document, chosen)) for document in documents]
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


def _with_task(
    login: Login, document: dict[str, Any], chosen: argparse.Namespace
) -> tuple[jobs.Job, dict[str, Any] | None]:
    """A timer for a person, and the document of its last task, if Globus shows it."""
    from autotransfer.globus.tasks import Tasks

    job = jobs.read_job(document, command=_command_line(chosen))
    if not job.task_id:
        return job, None
    try:
        task = Tasks(login.transfer).get(job.task_id)
    except Unreachable:
        raise
    except GlobusProblem:  # Globus keeps tasks for some months only, and shows them to who made them only
        task = None
    return job.with_task(task), task


def _tell(chosen: argparse.Namespace, document: dict[str, Any], words: str) -> None:
    utils.say(json.dumps(document) if chosen.json else words)


def _version() -> str:
    pyproject = Path(utils.CODE_FOLDER, "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', pyproject, re.MULTILINE)
    try:
        sdk = metadata.version("globus-sdk")
    except metadata.PackageNotFoundError:
        sdk = "missing"
    number = found[1] if found else "?"
    return f"globus-automated-transfer {number}, globus-sdk {sdk}, Python {platform.python_version()}"


# ---- what the command line asks for --------------------------------------------------------------------------------


def _schedule(chosen: argparse.Namespace) -> jobs.Schedule:
    now_ns = time.time_ns()
    stop_date_ns = _moment_ns("--stop-after-date", chosen.stop_after_date)
    if stop_date_ns is not None and stop_date_ns <= now_ns:
        raise UsageProblem(
            f"--stop-after-date {chosen.stop_after_date} has passed", remedy="Nothing was created or changed."
        )
    schedule = jobs.Schedule(
        interval_seconds=None if chosen.interval is None else interval_seconds(chosen.interval),
        start_ns=_moment_ns("--start", getattr(chosen, "start", None)),
        stop_date_ns=stop_date_ns,
        stop_runs=chosen.stop_after_runs,
    )
    return schedule.from_now(now_ns)


def _tell_moved_start(chosen: argparse.Namespace, schedule: jobs.Schedule) -> None:
    asked_ns = _moment_ns("--start", chosen.start)
    if schedule.start_ns is not None and schedule.start_ns != asked_ns:
        utils.warn(f"timer.py: --start has passed; the first run is at its next tick, {local_text(schedule.start_ns)}.")


def _moment_ns(option: str, text: str | None) -> int | None:
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


def _items(chosen: argparse.Namespace, settings: Settings) -> list[TimerItem]:
    if chosen.item:
        items = [TimerItem(source, target, yes_or_no(recursive)) for source, target, recursive in chosen.item]
        if not all(item.source_path and item.destination_path for item in items):
            raise UsageProblem("A path of an --item is empty", remedy="Nothing was created.")
        return items
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
            f"Cannot read {chosen.action_file}",
            why=(error.strerror or str(error)).lower(),
            remedy="Nothing was created.",
        ) from None
    except ValueError as error:
        raise UsageProblem("The action's body is not JSON", why=str(error), remedy="Nothing was created.") from None


if __name__ == "__main__":
    utils.run_script(main)
